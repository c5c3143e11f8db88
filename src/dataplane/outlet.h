// The way out of a worker: next hops, frames that wait for one, frames of our own making, transmit
// buffers. Whatever ends a received frame is here. Private to dataplane.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core.h"
#include "limpet/base/drop.h"
#include "limpet/dataplane/neighbors.h"
#include "limpet/flow/record.h"
#include "limpet/wire/icmp.h"
#include "limpet/wire/tcp.h"
#include "packet.h"

namespace limpet::dataplane {

class Outlet {
 public:
  Outlet(Core& core, const WorkerSetup& setup);

  // Ends of a received frame.
  Ended forward(uint16_t hop, rte_mbuf* frame);  // or holds it, bounded, while a hop is asked
  Ended drop(rte_mbuf* frame, Drop reason);      // counted by name
  Ended drop(const Packet& p, Drop reason) { return drop(p.m, reason); }
  Ended consume(const Packet& p);                    // it has done what it came for
  Ended hand_over(const Packet& p, unsigned owner);  // to another worker
  Ended not_ours(const Packet& p, Drop otherwise);   // the kernel's, where it has a copy
  Ended answer_with_itself(const Packet& p);         // it has become the answer
  Ended refuse(const Packet& p, Drop reason);        // as a host on which nothing listens
  Ended expired(const Packet& p);                    // its hops ran out here
  Ended too_big(const Packet& p, uint32_t mtu);      // for where it would leave

  // Next hops. kNone with the reason when there is no way.
  uint16_t backend_hop(uint16_t backend, Drop& why);
  uint16_t client_hop(flow::Record& r, Drop& why);
  uint16_t mtu_of(uint16_t hop) const { return core_.snapshot->ports[neighbors_.at(hop).port].mtu; }
  // Who begins a flow will be answered, and says where he is.
  void know_client(const Packet& p);

  // Frames of our own.
  rte_mbuf* fresh();  // null, and counted as lost, when there is none
  void send(uint16_t hop, rte_mbuf* frame);
  void send_from(uint16_t port, rte_mbuf* frame);  // its link addresses are right already
  void send_reset(const wire::Reset& reset);
  void send_reset(rte_mbuf* into, const wire::Reset& reset);
  void lose(rte_mbuf* frame);

  // Neighbors (local.cpp, worker.cpp).
  void learn(uint16_t port, const IpAddress& address, const MacAddress& mac, bool create);
  void learned(uint16_t neighbor, const MacAddress& mac);
  const Neighbors& neighbors() const { return neighbors_; }

  // announce.cpp: where our addresses are; worker 0 only
  void announce_new();
  void announce_again(uint16_t port, uint64_t since);

  void adopt();  // another snapshot: routes may have changed
  void tick();
  void flush();
  void gauges();
  void shut_down();  // ends whatever is held

 private:
  uint16_t hop_to(const IpAddress& destination, Neighbors::For whom, Drop& why);
  uint16_t find_backend_hop(uint16_t backend, Drop& why);
  uint16_t find_client_hop(flow::Record& r, Drop& why);
  void ask_at_once(uint16_t hop);
  void put(uint16_t port, rte_mbuf* frame);
  void flush_port(uint16_t port);
  bool on_link(const Packet& p) const;
  void originate(const IpAddress& destination, rte_mbuf* frame);
  void answer(const Packet& p, rte_mbuf* frame);
  Drop send_icmp(const Packet& p, wire::IcmpError error, uint32_t mtu, Drop reason);
  void ask(uint16_t neighbor, bool unicast);
  void give_up(uint16_t neighbor, Drop reason);
  void announce(unsigned budget);

  struct BackendHop {
    uint16_t hop = 0;
    uint16_t stamp = 0;
  };
  struct TxBuffer {
    std::array<rte_mbuf*, 64> frames;
    uint16_t count = 0;
  };
  struct IcmpBucket {
    uint32_t tokens = Worker::kIcmpPerSecond;
    Tick filled = 0;
  };
  // Of a port: what is announced there at present.
  struct Announcing {
    uint64_t since = 0;  // addresses that no snapshot before this one had
    uint32_t next = 0;   // of the snapshot's list, in this round
    Tick due = 0;        // when the round begins
    uint8_t rounds = 0;  // left
  };

  Core& core_;
  Output& output_;
  Neighbors neighbors_;
  std::vector<BackendHop> backend_hops_;  // by backend slot
  std::vector<TxBuffer> tx_;              // by port
  IcmpBucket icmp_too_big_;  // of its own: a port scan must not silence path MTU discovery
  IcmpBucket icmp_other_;
  std::array<Announcing, kMaxPorts> announcing_{};
  uint64_t announced_ = 0;  // serial of the snapshot whose new addresses were taken up last
};

inline uint16_t Outlet::backend_hop(uint16_t backend, Drop& why) {
  const BackendHop& cached = backend_hops_[backend];
  if (cached.stamp == neighbors_.stamp(cached.hop)) [[likely]]
    return cached.hop;
  return find_backend_hop(backend, why);
}

inline uint16_t Outlet::client_hop(flow::Record& r, Drop& why) {
  if (r.hop_stamp == neighbors_.stamp(r.client_hop)) [[likely]]
    return r.client_hop;
  return find_client_hop(r, why);
}

}  // namespace limpet::dataplane
