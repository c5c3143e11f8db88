// What limpet itself must know of the EAL's options: how many workers their lcores make, and
// whether their memory can be enough. All else is for the EAL to judge, at the start. Only what is
// so on every machine: how many CPUs, hugepages and NICs there are is for the start to find out
// (diagnose.h). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "limpet/port/eal_args.h"

namespace limpet::port {

struct EalFault {
  size_t option = 0;  // index into the options
  std::string text;   // "problem; expected ..."
};
// Every fault in what merge_eal_options() gives, in the order of the options: words that belong to
// no option, lcores that cannot be read (the EAL does not say which), that leave no worker or make
// too many, memory that is no number (the EAL takes it for 0, or for less), and options that only
// print something.
std::vector<EalFault> check_eal_values(const std::vector<EalOption>& options);

// Lcores that poll; nothing when the machine decides (neither -l nor --lcores), when it depends on
// a mask or on service cores, or when a value is faulty.
std::optional<unsigned> worker_count(const std::vector<EalOption>& options);

// Megabytes of -m; nothing when it is no number.
std::optional<uint64_t> read_megabytes(const std::string& value);

// Bytes of EAL memory without which no NIC can be served: the packet buffers that its queues do not
// even count in.
uint64_t least_memory(unsigned workers, size_t ports, uint32_t held_packets, uint16_t largest_mtu);

}  // namespace limpet::port
