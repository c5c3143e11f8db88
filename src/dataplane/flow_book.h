// The flows of a worker, whatever way they are forwarded: table, timers, source ports, both ends of
// a flow, what is counted of them, and how they end. Private to dataplane.
//
// What is particular to a way of forwarding is asked of its FlowKeeper, never for a packet.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core.h"
#include "limpet/affinity/reason.h"
#include "limpet/base/forwarding.h"
#include "limpet/flow/crowd.h"
#include "limpet/flow/table.h"
#include "limpet/flow/wheel.h"
#include "limpet/tcp/track.h"
#include "limpet/wire/tcp.h"
#include "outlet.h"

namespace limpet::dataplane {

// What a way of forwarding has beside the records of its flows.
class FlowKeeper {
 public:
  // The time of a flow is over that does not stand. True: that has been dealt with, whatever has
  // become of it; false: it ends.
  virtual bool due(flow::FlowId id) = 0;
  // The time of a flow that stands is over: both ends hear of it, and a tombstone stays. False:
  // there were no buffers to tell them, and nothing has changed.
  virtual bool expired(flow::FlowId id) = 0;
  // Its backend is gone, or it must give way: its ends are told if it stands. False: as above.
  virtual bool must_end(flow::FlowId id, Ending why) = 0;
  // Its record is about to be erased.
  virtual void ended(flow::FlowId id) = 0;

 protected:
  ~FlowKeeper() = default;
};

// Of the IP headers of what goes to one end in the other one's place.
struct Marks {
  uint8_t ttl = 64;
  uint8_t traffic_class = 0;
};

// Who it belongs to, for its line in the log.
void name_flow(const flow::Record& r, LogRecord& out);

class FlowBook {
 public:
  FlowBook(Core& core, Outlet& outlet, const WorkerSetup& setup);
  void keep(Forwarding way, FlowKeeper& keeper) { keepers_[static_cast<size_t>(way)] = &keeper; }

  flow::Table& table() { return table_; }
  const flow::Table& table() const { return table_; }
  flow::Record& at(flow::FlowId id) { return table_.at(id); }
  const flow::Record& at(flow::FlowId id) const { return table_.at(id); }
  flow::Aside& aside(flow::FlowId id) { return table_.aside(id); }
  bool live(flow::FlowId id) const { return table_.live(id); }

  // Beginnings. begin(): a record of the client's for `p`, not in the table yet; kNoFlow when there
  // is no place. add(): enters and counts it; false when there is no room, the record is still the
  // caller's then and goes back by table().release().
  flow::FlowId begin(const Packet& p, Forwarding way, tcp::Track state);
  bool add(flow::FlowId id, const Packet& p);
  // A source port towards this backend for a flow that is not bound; false when there is none. A
  // connection of it that has ended may give its own, with `half_open_too` one that is half-open.
  enum class Give : uint8_t { nothing, ended, half_open_too };
  bool take_backend(flow::FlowId id, uint16_t backend, Give give);
  void give_source(const flow::Record& r);
  void count_bound(const flow::Record& r);
  // Lets go of its backend and of its port there: what still comes from it is of no flow.
  void unbind(flow::FlowId id);

  // Ends of a flow. What goes to `to` has these addresses.
  struct Way {
    const IpAddress& source;
    be16 source_port;
    const IpAddress& destination;
    be16 destination_port;
  };
  Way towards(tcp::Side to, const flow::Record& r) const;
  uint16_t hop_to(tcp::Side to, flow::Record& r, Drop& why);
  void count_packet(tcp::Side to, const flow::Record& r, uint32_t bytes);
  wire::Reset reset_to(tcp::Side to, const flow::Record& r, tcp::Seq sequence) const;
  // Both ends hear that a connection is over, each at its last ACK (Record::bounds), and a
  // tombstone stays. False, and nothing has changed, when there was no buffer to tell them.
  bool reset_both(flow::FlowId id, Marks to_client = {}, Marks to_backend = {});

  // Life.
  Tick timeout_of(const flow::Record& r) const;
  void enter(flow::FlowId id, tcp::Track state);
  void arm_by(flow::FlowId id, Tick deadline) { wheel_.arm_by(id, deadline); }
  void end(flow::FlowId id);
  bool must_end(flow::FlowId id, Ending why) { return keeper_of(id).must_end(id, why); }
  // Of a segment that finds a tombstone: its backend is gone, or the connection was quiet for too
  // long.
  Drop epitaph(const flow::Record& r) const;
  // A datagram flow whose backend or service a reload has removed: the next datagram is balanced
  // anew.
  bool stranded(const flow::Record& r) const;

  // What control says.
  void adopt();                        // another snapshot
  void forget_backend(uint16_t slot);  // it has another owner now
  void backend_state(uint16_t slot, balance::BackendStatus status);
  void tick();
  void tick_gone();  // flows of backends that are gone, and crowds
  void gauges();
  bool looks() const { return flush_left_ != 0; }  // for flows that must be told
  void begin_iteration() { gone_left_ = Worker::kGonePerIteration; }

  // crowded.cpp: who gives when source ports or places of the flow table are short
  void room_for_flow();

 private:
  FlowKeeper& keeper_of(flow::FlowId id) {
    return *keepers_[static_cast<size_t>(flow::forwarding_of(table_.at(id)))];
  }
  bool take_source(uint16_t backend, flow::Record& r);
  bool take_source(uint16_t backend, bool rested, flow::Record& r);
  void on_due(flow::FlowId id);
  bool tell_ends(flow::FlowId id);
  bool evict();
  bool flows_of_removed() const;
  void flush_dead(unsigned budget);

  // crowded.cpp
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
  void room_for_port(uint16_t backend, Give which);
  void empty_crowds();

  Core& core_;
  Outlet& outlet_;
  std::array<FlowKeeper*, kForwardingNames.size()> keepers_{};
  flow::Table table_;
  flow::Wheel wheel_;
  std::vector<uint32_t> source_turn_;  // by backend slot: which source address is next

  std::vector<uint8_t> dead_;  // by backend slot: flows must be reset
  uint32_t flush_left_ = 0;    // records still to be looked at
  uint32_t flush_cursor_ = 0;
  unsigned gone_left_ = 0;  // of kGonePerIteration

  std::vector<uint8_t> crowded_;        // by backend slot: it is in the list
  std::vector<uint16_t> crowded_list_;  // backends whose ports were short, not down to a quarter
  bool flows_short_ = false;            // likewise of the flow table
  Tick emptied_at_ = 0;                 // looked at last
  Tick ports_read_ = 0;                 // when their gauges are due
};

inline FlowBook::Way FlowBook::towards(tcp::Side to, const flow::Record& r) const {
  const Snapshot& s = *core_.snapshot;
  if (to == tcp::Side::client) {
    const ServiceEntry& service = s.services[r.service];
    return {service.vip, service.port, r.client, r.client_port};
  }
  const BackendEntry& backend = s.backends[r.backend];
  return {s.sources[r.source].address, r.source_port, backend.address, backend.port};
}

inline uint16_t FlowBook::hop_to(tcp::Side to, flow::Record& r, Drop& why) {
  return to == tcp::Side::client ? outlet_.client_hop(r, why) : outlet_.backend_hop(r.backend, why);
}

inline void FlowBook::count_packet(tcp::Side to, const flow::Record& r, uint32_t bytes) {
  BackendCounters& b = core_.backends[r.backend];
  ServiceCounters& s = core_.services[r.service];
  if (to == tcp::Side::backend) {
    b.packets_in.add();
    b.bytes_in.add(bytes);
    s.packets_in.add();
    s.bytes_in.add(bytes);
  } else {
    b.packets_out.add();
    b.bytes_out.add(bytes);
    s.packets_out.add();
    s.bytes_out.add(bytes);
  }
}

}  // namespace limpet::dataplane
