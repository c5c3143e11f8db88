// What a worker is made of, each part on those above it, and the stages of a burst, which steer
// frames to them. Private to dataplane.
#pragma once

#include <optional>
#include <vector>

#include "core.h"
#include "flow_book.h"
#include "local.h"
#include "nat.h"
#include "outlet.h"
#include "packet.h"
#include "splicer.h"

namespace limpet::dataplane {

struct Worker::Parts final : Arrivals {
  Parts(const WorkerSetup& setup, Instant now);

  // worker.cpp: batches
  void adopt(const Snapshot* snapshot);
  void reload();
  void burst(uint16_t port, rte_mbuf** frames, uint16_t count, bool handed);
  bool classify(Packet& p);  // false: the frame has ended
  std::optional<unsigned> misplaced(const Packet& p) const;
  unsigned owner_of(uint16_t port, const IpAddress& source, const IpAddress& destination,
                    be16 source_port, be16 destination_port) const;
  Ended act(Packet& p);
  Ended from_client(Packet& p);
  Ended from_backend(Packet& p);
  Ended no_flow(Packet& p) override;
  // icmp.cpp
  Ended icmp_error(Packet& p);
  // messages.cpp: what control asks
  void on_message(const ToWorker& m);
  void answer_queries(unsigned budget);

  Core core;
  Outlet outlet;
  FlowBook book;
  LocalHost local;
  Nat nat;
  Splicer splicer;
  const flow::Toeplitz* toeplitz;
  std::vector<uint16_t> status_generation;  // by backend slot: of whom Core::status tells
  std::vector<Query*> queries;
};

}  // namespace limpet::dataplane
