// What the values of EAL options come to: which of them the EAL of DPDK 22.11 or limpet's ports
// would refuse at start, and how many workers there will be. Only what is so on every machine: how
// many CPUs, hugepages and NICs there are is for the start to find out (diagnose.h). Where the EAL
// takes nonsense for something (",1" for lcores 0 and 1) this refuses it. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/port/eal_args.h"

namespace limpet::port {

struct EalFault {
  size_t option = 0;  // index into the options
  std::string text;   // "problem; expected ..."
};
// Every fault in what merged_eal_options() gives, in the order of the options.
std::vector<EalFault> check_eal_values(const std::vector<EalOption>& options);

// Lcores that poll; nothing when the machine decides (no -l, -c or --lcores) or a value is faulty.
std::optional<unsigned> worker_count(const std::vector<EalOption>& options);

// What the driver of a --vdev=VALUE misses in it or does not know: "problem; expected ...". Nothing
// for drivers that are not known here.
std::optional<std::string> vdev_fault(std::string_view value);

// Bytes of EAL memory without which no NIC can be served: the packet buffers that its queues do not
// even count in.
uint64_t least_memory(unsigned workers, size_t ports, uint32_t held_packets, uint16_t largest_mtu);

}  // namespace limpet::port
