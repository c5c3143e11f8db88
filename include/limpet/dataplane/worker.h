// One poll-mode worker: takes bursts of received frames, ends each of them in exactly one way, and
// leaves frames to send in an Output. It shares nothing that it writes (counters excepted, which
// others read), never blocks, allocates nothing after construction and reads no clock.
//
// Called by the lcore loop (port/loop.h) in this order, once per iteration:
//   begin(now)          control ring first and completely, then the snapshot's consequences
//   receive(...)        for every port's burst
//   receive_handed()    frames that other workers passed on
//   housekeeping()      timers, neighbors, resets of flows whose backend died, queries
//   flush()             whatever waits in the transmit buffers
//   quiescent()         RCU report and snapshot reload; may_sleep() says whether to rest
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "limpet/affinity/reason.h"
#include "limpet/base/drop.h"
#include "limpet/base/time.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/neighbors.h"
#include "limpet/dataplane/shared.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/flow/crowd.h"
#include "limpet/flow/table.h"
#include "limpet/flow/toeplitz.h"
#include "limpet/flow/wheel.h"
#include "limpet/tcp/track.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/icmp.h"
#include "limpet/wire/tcp.h"

namespace limpet::dataplane {

// Where frames leave. Implemented by `port` (rte_eth_tx_burst) and by tests.
class Output {
 public:
  virtual ~Output() = default;
  // Sends a prefix of `frames` and takes ownership of it; returns its length.
  virtual uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) = 0;
};

struct WorkerSetup {
  unsigned id = 0;  // 0 .. workers - 1
  Shared* shared = nullptr;
  WorkerStats* stats = nullptr;  // written by this worker only
  Output* output = nullptr;
  rte_mempool* pool = nullptr;  // for frames of our own making
  const flow::Toeplitz* toeplitz = nullptr;
  uint32_t flows = 65536;  // of this worker
  uint32_t held_packets = 4096;
  uint16_t neighbors = 4096;
  size_t edit_bytes = size_t{16} << 20;  // of edits in spliced streams, until they are acknowledged
  size_t copy_bytes = size_t{16} << 20;  // of judged octets of requests, likewise
  std::array<uint64_t, 8> secret{};      // of the flow table's hash; random in production
  uint64_t random_seed = 1;              // eviction samples
  uint64_t (*unix_time)() = nullptr;     // seconds, for dates in cookies; not called per packet
  Duration hold_syns =
      std::chrono::seconds(60);  // after start every source port may be in TIME_WAIT
};

class Worker {
 public:
  static constexpr uint16_t kBurst = 32;
  // ICMP errors of our own (RFC 1812, 4.3.2.8).
  static constexpr uint32_t kIcmpPerSecond = 1000;
  // Flows that end per iteration with a reset to each of their ends, because their backend has died
  // or their time is over: a transmit queue takes those beside the traffic.
  static constexpr unsigned kGonePerIteration = 64;

  Worker(const WorkerSetup& setup, Instant now);
  ~Worker();  // frees whatever is held
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  void begin(Instant now);
  void receive(uint16_t port, rte_mbuf** frames,
               uint16_t count);  // takes ownership; count <= kBurst
  unsigned receive_handed();
  void housekeeping();
  void flush();
  void quiescent();
  void offline();  // before a sleep
  void online();   // after it: reloads the snapshot
  bool may_sleep() const { return flush_left_ == 0 && queries_.empty(); }

  const flow::Table& flows() const { return table_; }  // for tests, between iterations
  const Neighbors& neighbors() const { return neighbors_; }

 private:
  class Splicer;  // mode splice (src/dataplane/splicer.h)
  struct Work;    // one frame of a burst between its stages

  // worker.cpp: batches
  void adopt(const Snapshot* snapshot);
  void reload();
  void burst(uint16_t port, rte_mbuf** frames, uint16_t count, bool handed);
  bool classify(Work& w);
  bool hand_over(const Work& w, unsigned owner);
  bool misplaced(const Work& w);
  unsigned owner_of(uint16_t port, const IpAddress& source, const IpAddress& destination,
                    be16 source_port, be16 destination_port) const;
  void act(Work& w);
  void drop(rte_mbuf* frame, Drop reason);
  void consume(rte_mbuf* frame);
  uint64_t random();

  // flows.cpp: full NAT
  void from_client(Work& w);
  void from_backend(Work& w);
  void new_flow(Work& w);
  flow::FlowId make_flow(const Work& w, uint16_t backend, affinity::Reason reason, bool make_room,
                         Drop& why);
  bool take_source(uint16_t backend, flow::Record& r);
  bool take_source(uint16_t backend, bool rested, flow::Record& r);
  void give_source(const flow::Record& r);
  void to_backend(Work& w, flow::FlowId id);
  void to_client(Work& w, flow::FlowId id);
  bool expired(Work& w);
  bool fits(Work& w, uint16_t hop);
  void too_big(Work& w, uint32_t mtu);
  void answer_stale(Work& w, flow::FlowId id);
  bool anew(flow::FlowId id, const tcp::Segment& answer);

  // lifetime.cpp: how flows end
  void enter(flow::FlowId id, tcp::Track state);
  void end_flow(flow::FlowId id);
  Tick timeout_of(const flow::Record& r) const;
  void on_due(flow::FlowId id);
  bool evict();
  void hold_syn(flow::FlowId id, const rte_mbuf* frame);
  rte_mbuf* held_syn(flow::FlowId id);
  bool spend_syn(flow::FlowId id);
  void drop_syn(flow::FlowId id);
  bool backend_gone(flow::FlowId id);
  bool reset_both(flow::FlowId id);
  bool stranded(const flow::Record& r) const;
  bool flows_of_removed() const;
  bool tell_ends(flow::FlowId id);
  void bury(flow::FlowId id);
  Drop epitaph(const flow::Record& r) const;
  void flush_dead(unsigned budget);

  // crowded.cpp: who gives when source ports or places of the flow table are short
  struct Taken {
    uint32_t used = 0;
    uint32_t total = 0;
  };
  Taken ports_of(uint16_t backend) const;
  flow::FlowId some_flow(uint16_t backend, uint64_t random) const;
  enum class Seek : uint8_t { still, silent_too, stuck };
  struct Search {
    uint16_t backend = kNoSlot;  // kNoSlot: of any
    Seek seek = Seek::still;
    bool full = false;  // what has ended or is half-open may give too
    bool half_open = true;
    bool standing = true;
  };
  bool give_way(const Search& search, Counter& gave);
  bool end(const flow::Crowd::One& one, bool port);
  enum class Give : uint8_t { ended, half_open_too };
  void room_for_port(uint16_t backend, Give which);
  void room_for_flow();
  void empty_crowds();

  // messages.cpp: what control asks
  void on_message(const ToWorker& m);
  void answer_queries(unsigned budget);

  // local.cpp: frames for ourselves
  bool answers_for(uint16_t port, const IpAddress& address) const;
  void conflict(Work& w, const MacAddress& claimant);
  void arp(Work& w);
  void neighbor_discovery(Work& w);
  void echo(Work& w);
  void not_local(Work& w, Drop otherwise);
  void refuse(Work& w, Drop reason);
  void icmp_error(Work& w);

  // send.cpp: the way out
  void learn(uint16_t port, const IpAddress& address, const MacAddress& mac, bool create);
  void learned(uint16_t neighbor, const MacAddress& mac);
  uint16_t hop_to(const IpAddress& destination, Neighbors::For whom, Drop& why);
  uint16_t backend_hop(uint16_t backend, Drop& why);
  uint16_t client_hop(flow::Record& r, Drop& why);
  void send_by(uint16_t hop, rte_mbuf* frame, bool originated);
  void put(uint16_t port, rte_mbuf* frame);
  void flush_port(uint16_t port);
  void originate(const IpAddress& destination, rte_mbuf* frame);
  bool on_link(const Work& w) const;
  void answer(const Work& w, rte_mbuf* frame);
  void originate_by(uint16_t port, rte_mbuf* frame);
  inline uint16_t mtu_of(uint16_t hop) const;  // work.h
  void send_reset(const wire::Reset& reset);
  void send_reset(rte_mbuf* into, const wire::Reset& reset);
  void know_client(const Work& w);
  Drop send_icmp(const Work& w, wire::IcmpError error, const IpAddress& from, uint32_t mtu,
                 Drop reason);
  void ask(uint16_t neighbor, bool unicast);
  void give_up(uint16_t neighbor);
  rte_mbuf* fresh();

  // announce.cpp: where our addresses are; worker 0 only
  void announce_new();
  void announce_again(uint16_t port, uint64_t since);
  void announce(unsigned budget);

  unsigned id_;
  Shared& shared_;
  WorkerStats& stats_;
  WorkerCounters& n_;
  Output& output_;
  rte_mempool* pool_;
  const flow::Toeplitz* toeplitz_;
  const Snapshot* snapshot_ = nullptr;
  uint64_t serial_ = 0;  // of *snapshot_
  Instant now_;
  Tick tick_ = 0;
  Tick hold_syns_until_ = 0;
  bool hold_all_syns_ = true;
  uint64_t random_;
  uint64_t (*unix_time_)();

  flow::Table table_;
  flow::Wheel wheel_;
  Neighbors neighbors_;

  std::vector<balance::BackendStatus> status_;  // by backend slot
  std::vector<uint16_t> status_generation_;
  struct BackendHop {
    uint16_t hop = 0;
    uint16_t stamp = 0;
  };
  std::vector<BackendHop> backend_hops_;  // by backend slot
  std::vector<uint32_t> source_turn_;     // by backend slot: which source address is next

  struct TxBuffer {
    std::array<rte_mbuf*, 64> frames;
    uint16_t count = 0;
  };
  std::vector<TxBuffer> tx_;

  struct HeldSyn {
    flow::FlowId flow = flow::kNoFlow;
    rte_mbuf* frame = nullptr;
    uint8_t resends = 0;
  };
  std::vector<HeldSyn> syns_;  // direct-mapped by flow id; a newer SYN displaces an older one

  struct Knock {
    flow::FlowId flow = flow::kNoFlow;
    tcp::Segment syn;
  };
  std::vector<Knock> knocks_;  // SYNs on living flows; direct-mapped, the newest displaces

  std::vector<uint8_t> crowded_;  // by backend slot: it is in the list
  std::vector<uint16_t>
      crowded_list_;          // backends whose ports were short, and are not down to a quarter
  bool flows_short_ = false;  // likewise of the flow table
  Tick emptied_at_ = 0;       // looked at last
  Tick ports_read_ = 0;       // when their gauges are due

  std::vector<uint8_t> dead_;  // by backend slot: flows must be reset
  uint32_t flush_left_ = 0;    // records still to be looked at
  uint32_t flush_cursor_ = 0;
  unsigned gone_left_ = 0;  // of kGonePerIteration
  std::vector<Query*> queries_;
  std::unique_ptr<Splicer> splicer_;
  struct IcmpBucket {
    uint32_t tokens = kIcmpPerSecond;
    Tick filled = 0;
  };
  // Of a port: what is announced there at present.
  struct Announcing {
    uint64_t since = 0;  // addresses that no snapshot before this one had
    uint32_t next = 0;   // of the snapshot's list, in this round
    Tick due = 0;        // when the round begins
    uint8_t rounds = 0;  // left
  };
  std::array<Announcing, kMaxPorts> announcing_{};
  uint64_t announced_ = 0;   // serial of the snapshot whose new addresses were taken up last
  IcmpBucket icmp_too_big_;  // of its own: a port scan must not silence path MTU discovery
  IcmpBucket icmp_other_;
};

}  // namespace limpet::dataplane
