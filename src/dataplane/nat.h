// Mode nat of a worker: full NAT, packet by packet. The connection is tracked (tcp/track.h), so
// that it ends when it is over and its ends can be told when it must end; its octets and numbers
// pass as they are. Private to dataplane.
#pragma once

#include <optional>
#include <vector>

#include "core.h"
#include "flow_book.h"
#include "held_syns.h"
#include "limpet/tcp/track.h"
#include "limpet/wire/quote.h"
#include "outlet.h"

namespace limpet::dataplane {

// Where a client's packet goes when its flow has just ended: how it is forwarded now is for its
// service to say.
class Arrivals {
 public:
  virtual Ended no_flow(Packet& p) = 0;

 protected:
  ~Arrivals() = default;
};

class Nat final : public FlowKeeper {
 public:
  Nat(Core& core, Outlet& outlet, FlowBook& book, Arrivals& arrivals, const WorkerSetup& setup);

  Ended no_flow(Packet& p);  // of a client
  Ended from_client(Packet& p, flow::FlowId id);
  Ended from_backend(Packet& p, flow::FlowId id);
  // Whether what an ICMP error quotes may be on its way towards `to`: Drop::none, or why not.
  Drop quoted(flow::FlowId id, tcp::Side to, const wire::Quote& quote) const;
  void begin_iteration();

  bool due(flow::FlowId id) override;
  bool expired(flow::FlowId id) override;
  bool must_end(flow::FlowId id, Ending why) override;
  void ended(flow::FlowId id) override;

 private:
  flow::FlowId make_flow(const Packet& p, uint16_t backend, affinity::Reason reason, bool make_room,
                         Drop& why);
  Ended to_backend(Packet& p, flow::FlowId id);
  Ended to_client(Packet& p, flow::FlowId id);
  Ended answer_stale(Packet& p, flow::FlowId id);
  bool anew(flow::FlowId id, const tcp::Segment& answer);
  void enter(flow::FlowId id, tcp::Track state);
  bool tell_ends(flow::FlowId id, Ending why);
  void log(flow::FlowId id, Ending ending);

  std::optional<Ending> ending_;  // of the flow that must end

  struct Knock {
    flow::FlowId flow = flow::kNoFlow;
    tcp::Segment syn;
  };

  Core& core_;
  Outlet& outlet_;
  FlowBook& book_;
  Arrivals& arrivals_;
  HeldSyns syns_;
  std::vector<Knock> knocks_;  // SYNs on living flows; direct-mapped, the newest displaces
  // After start every source port may be in TIME_WAIT.
  Tick hold_syns_until_;
  bool hold_all_syns_;
};

}  // namespace limpet::dataplane
