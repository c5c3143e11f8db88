// Tells the networks of our ports where our addresses are: gratuitous ARP (RFC 5227, 3) and
// unsolicited advertisements (RFC 4861, 7.2.6). What is new to this worker is announced, and all of
// a port when its link comes back: behind another switch port, nobody would find us before some
// cache had expired. Several times, as frames get lost, and on a link that has just come up more.
#include <algorithm>
#include <utility>

#include "limpet/wire/arp.h"
#include "limpet/wire/nd.h"
#include "outlet.h"

namespace limpet::dataplane {
namespace {

constexpr uint8_t kRounds = 3;  // RFC 4861: MAX_NEIGHBOR_ADVERTISEMENT
constexpr Tick kBetweenRounds = to_ticks(std::chrono::seconds(1));

}  // namespace

// By serial, not by comparing snapshots: whatever was missed in a nap, the former one may be freed.
void Outlet::announce_new() {
  for (Announcing& a : announcing_) a.next = 0;  // of another list now
  const uint64_t since = std::exchange(announced_, core_.serial) + 1;
  for (const Announcement& a : core_.snapshot->announcements)
    if (a.since >= since) announce_again(a.port, since);
}

// All addresses of a port from a snapshot on; those that a running announcement has not finished,
// too.
void Outlet::announce_again(uint16_t port, uint64_t since) {
  Announcing& a = announcing_[port];
  a.since = a.rounds == 0 ? since : std::min(a.since, since);
  a.rounds = kRounds;
  a.next = 0;
  a.due = core_.tick;
}

// At most `budget` frames: thousands of addresses at once would find no room in a transmit queue.
void Outlet::announce(unsigned budget) {
  if (core_.snapshot == nullptr) return;
  const std::vector<Announcement>& all = core_.snapshot->announcements;
  for (uint16_t port = 0; port < core_.snapshot->ports.size(); ++port) {
    Announcing& a = announcing_[port];
    if (a.rounds == 0 || tick_before(core_.tick, a.due)) continue;
    for (; a.next < all.size(); ++a.next) {
      const Announcement& it = all[a.next];
      if (it.port != port || it.since < a.since) continue;
      if (budget-- == 0) return;
      rte_mbuf* m = fresh();
      if (m == nullptr) continue;
      const MacAddress& mac = core_.snapshot->ports[port].mac;
      set_length(m, it.address.is_v4()
                        ? wire::build_arp_announcement(room(m), mac, it.address)
                        : wire::build_unsolicited_advertisement(room(m), mac, it.address));
      send_from(port, m);
    }
    --a.rounds;
    a.next = 0;
    a.due = core_.tick + kBetweenRounds;
  }
}

}  // namespace limpet::dataplane
