// Frames for limpet itself: ARP, neighbor discovery and echo. Private to dataplane.
#pragma once

#include "core.h"
#include "outlet.h"
#include "packet.h"

namespace limpet::dataplane {

class LocalHost {
 public:
  LocalHost(Core& core, Outlet& outlet) : core_(core), outlet_(outlet) {}

  Ended arp(Packet& p);
  Ended neighbor_discovery(Packet& p);
  Ended echo(Packet& p);

 private:
  bool answers_for(uint16_t port, const IpAddress& address) const;
  Ended conflict(Packet& p, const MacAddress& claimant);

  Core& core_;
  Outlet& outlet_;
};

}  // namespace limpet::dataplane
