// Look-ups of the published configuration: local addresses, services, routes.
#include "limpet/dataplane/snapshot.h"

#include <algorithm>

#include "limpet/base/hash.h"

namespace limpet::dataplane {
namespace {

// Not secret: the keys are our own addresses, which no outsider chooses.
uint64_t spread(const IpAddress& a) {
  return mix64(a.high() * 0x9e3779b97f4a7c15u ^ a.low());
}

// Nat knows of no messages, only of silence.
Tick of_a_standing_one(const flow::Record& r, const Timeouts& t) {
  if (flow::forwarding_of(r) != Forwarding::splice) return t.idle;
  switch (flow::wait_of(r)) {
    case flow::Wait::other:
      break;
    case flow::Wait::response:
      return t.response;
    case flow::Wait::keep_alive:
      return t.keep_alive;
    case flow::Wait::tunnel:
      return t.tunnel;
  }
  return t.idle;
}

// An answer of limpet's own is short: whoever lives has acknowledged it by then.
constexpr Tick kAnswering = to_ticks(std::chrono::seconds(5));

uint64_t service_key(uint16_t vip, uint8_t protocol, be16 port) {
  return (uint64_t{vip} + 1) << 24 | uint64_t{protocol} << 16 | port.raw;
}

}  // namespace

Tick timeout_of(const flow::Record& r, const Timeouts& t) {
  switch (r.state) {
    case tcp::Track::syn_sent:
    case tcp::Track::syn_received:
      return t.connect;
    case tcp::Track::established:
      return of_a_standing_one(r, t);
    case tcp::Track::datagram:
      return t.idle;
    case tcp::Track::head:
      return t.head;
    case tcp::Track::connecting:  // a binding has its own, shorter timer; this one only ends it all
      return t.idle;
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend: {
      const bool asked =
          flow::forwarding_of(r) == Forwarding::splice && flow::wait_of(r) == flow::Wait::response;
      return asked ? std::min(t.response, t.half_closed) : t.half_closed;
    }
    case tcp::Track::answering:
      return std::min(kAnswering, t.half_closed);
    case tcp::Track::time_wait:
    case tcp::Track::closed:
      return t.time_wait;
    case tcp::Track::dead:
    case tcp::Track::count_:
      break;
  }
  return kTombstone;
}

LocalTable::LocalTable() : addresses_(16), services_(16) {}

Local& LocalTable::add(const IpAddress& address) {
  if (2 * (address_count_ + 1) > addresses_.size()) grow_addresses();
  const size_t mask = addresses_.size() - 1;
  size_t i = spread(address) & mask;
  while (addresses_[i].used && addresses_[i].address != address) i = (i + 1) & mask;
  AddressCell& cell = addresses_[i];
  if (!cell.used) {
    cell.used = true;
    cell.address = address;
    ++address_count_;
  }
  return cell.local;
}

void LocalTable::grow_addresses() {
  std::vector<AddressCell> old(addresses_.size() * 2);
  old.swap(addresses_);
  address_count_ = 0;
  for (const AddressCell& cell : old)
    if (cell.used) add(cell.address) = cell.local;
}

const Local* LocalTable::find(const IpAddress& address) const {
  const size_t mask = addresses_.size() - 1;
  for (size_t i = spread(address) & mask; addresses_[i].used; i = (i + 1) & mask)
    if (addresses_[i].address == address) return &addresses_[i].local;
  return nullptr;
}

void LocalTable::add_service(uint16_t vip, uint8_t protocol, be16 port, uint16_t slot) {
  if (2 * (service_count_ + 1) > services_.size()) grow_services();
  const size_t mask = services_.size() - 1;
  const uint64_t key = service_key(vip, protocol, port);
  size_t i = mix64(key) & mask;
  while (services_[i].key != 0 && services_[i].key != key) i = (i + 1) & mask;
  if (services_[i].key == 0) ++service_count_;
  services_[i] = {key, slot};
}

void LocalTable::grow_services() {
  std::vector<ServiceCell> old(services_.size() * 2);
  old.swap(services_);
  const size_t mask = services_.size() - 1;
  for (const ServiceCell& cell : old) {
    if (cell.key == 0) continue;
    size_t i = mix64(cell.key) & mask;
    while (services_[i].key != 0) i = (i + 1) & mask;
    services_[i] = cell;
  }
}

uint16_t LocalTable::service(uint16_t vip, uint8_t protocol, be16 port) const {
  const size_t mask = services_.size() - 1;
  const uint64_t key = service_key(vip, protocol, port);
  for (size_t i = mix64(key) & mask; services_[i].key != 0; i = (i + 1) & mask)
    if (services_[i].key == key) return services_[i].slot;
  return kNoSlot;
}

Hop Snapshot::route(const IpAddress& destination) const {
  for (const RouteEntry& r : routes) {
    if (!r.to.contains(destination)) continue;
    return {true, r.port, r.via.is_unspecified() ? destination : r.via};
  }
  return {};
}

const IpAddress* Snapshot::own_address(uint16_t port, const IpAddress& like) const {
  const IpAddress* first = nullptr;
  for (const Prefix& p : ports[port].addresses) {
    if (p.address.family() != like.family()) continue;
    if (p.contains(like)) return &p.address;
    if (first == nullptr) first = &p.address;
  }
  return first;
}

}  // namespace limpet::dataplane
