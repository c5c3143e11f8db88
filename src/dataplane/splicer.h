// Mode splice of a worker: from the frame to tcp::Splice and back. Owns everything that spliced
// flows need beside their records.
//
//   no flow ----- data of a proven client ----> head ---- head complete ----> connecting
//   connecting -- SYN-ACK --> established, then as in mode nat
//             `-- RST, time-out --> another backend; none left --> answering
//   head -------- no request --> answering
#pragma once

#include "core.h"
#include "exchange.h"
#include "flow_book.h"
#include "hold_pool.h"
#include "limpet/flow/shares.h"
#include "limpet/tcp/edit_pool.h"
#include "limpet/tcp/handshake.h"
#include "limpet/tcp/splice.h"
#include "limpet/wire/quote.h"
#include "limpet/wire/segment.h"
#include "outlet.h"
#include "packet.h"
#include "strangers.h"
#include "transactions.h"
#include "waiting.h"

namespace limpet::dataplane {

// What a spliced connection costs for its whole life, beside the table's index and the bytes of
// edits that are not acknowledged yet. An Exchange and a Binding come and go with what is under
// way.
static_assert(sizeof(flow::Record) + sizeof(tcp::SpliceFlow) <= 192);

class Splicer final : public FlowKeeper, tcp::SpliceSink, tcp::SpliceEditor {
 public:
  Splicer(Core& core, Outlet& outlet, FlowBook& book, const WorkerSetup& setup);
  ~Splicer();

  Ended no_flow(Packet& p);  // of a client
  Ended from_client(Packet& p, flow::FlowId id);
  Ended from_backend(Packet& p, flow::FlowId id);
  void tick();

  bool due(flow::FlowId id) override;
  bool expired(flow::FlowId id) override;
  bool must_end(flow::FlowId id, Ending why) override;
  void ended(flow::FlowId id) override;

  void top(Query& q) const;  // who holds most
  uint32_t transactions() const { return transactions_.used(); }

  // An ICMP error quotes a packet that left towards `to`. Drop::none: `translated` is its number as
  // its sender knows it, and `mtu` what that one is told; else why nobody is told.
  Drop quoted(flow::FlowId id, tcp::Side to, const wire::Quote& quote,
              std::optional<uint32_t>& translated, std::optional<uint32_t>& mtu);
  // splicer_note.cpp: what control is told
  FlowEdits live_edits(flow::FlowId id) const;
  // Once a connection: it is bound to a backend that has answered, or there is none for it. Nothing
  // happens when its service keeps no session log.
  void note_session(flow::FlowId id);

 private:
  class Observer;
  Ended client_says(Packet& p, flow::FlowId id);
  Ended backend_says(Packet& p, flow::FlowId id);
  void settle(flow::FlowId id);  // what it holds may have changed (splicer_shares.cpp)
  Marks marks(flow::FlowId id, tcp::Side from) const;
  void send_reset(flow::FlowId id, tcp::Side to);
  void slow_head(flow::FlowId id);
  void never_connected(flow::FlowId id);

  void emit(tcp::SpliceFlow& flow, tcp::Side to, const tcp::SegmentOut& segment) override;
  uint32_t most(const tcp::SpliceFlow& flow, tcp::Side to) override;
  tcp::Shown show(tcp::SpliceFlow& flow, tcp::Side from, std::span<const uint8_t> bytes,
                  bool fin) override;
  void not_kept(tcp::SpliceFlow& flow, tcp::Side from) override;

  // splicer_listen.cpp
  tcp::Hearing listen(const Packet& p, const ServiceEntry& service, const tcp::SegmentIn& in);
  Ended hear(Packet& p, const tcp::Hearing& heard, const tcp::SegmentIn& in);
  std::optional<Ended> other_incarnation(Packet& p, flow::FlowId id, const tcp::SegmentIn& in);
  Ended open(Packet& p, const tcp::Hearing& heard, const tcp::SegmentIn& in);
  Ended stranger(Packet& p);
  Ended reply(Packet& p, const tcp::SegmentOut& segment);
  // splicer_exchange.cpp
  Exchange* exchange_of(flow::FlowId id);
  ExchangeContext context(flow::FlowId id);
  void let_go_of_rules(flow::FlowId id);
  void follow_up(flow::FlowId id, bool moved);
  void watch_head(flow::FlowId id, const Exchange& s);
  enum class Quiet : uint8_t { now, soon, never };
  Quiet quiet(flow::FlowId id);
  Duration head_time(flow::FlowId id) const;
  void turn_away(flow::FlowId id, bool slow);
  // splicer_wait.cpp: which time-out a connection has, and what is said when it is over
  uint32_t progress(flow::FlowId id);
  flow::Wait wait_for(flow::FlowId id, bool backend_spoke);
  void watch(flow::FlowId id, bool backend_spoke);
  bool nothing_on_its_way(flow::FlowId id) const;
  bool no_answer(flow::FlowId id);
  bool tell_ends(flow::FlowId id);
  void give_exchange(flow::FlowId id);
  void go_by(flow::FlowId id, affinity::StickHandle entry);
  void publish();
  // splicer_log.cpp: what becomes of requests, for those of them that have lines in the log
  void log_moved(flow::FlowId id);
  void log_fin(flow::FlowId id, tcp::Side from, const tcp::SegmentIn& in);
  void log_ends(flow::FlowId id);
  void log_answer(flow::FlowId id, std::string_view text);
  void blame(flow::FlowId id, Ending ending) {
    if (flows_[id].logged) transactions_.blame_all(id, ending);
  }
  // splicer_connect.cpp
  Ended collect(Packet& p, flow::FlowId id, const tcp::SegmentIn& in);
  void judge_head(flow::FlowId id);
  uint32_t head_limit(flow::FlowId id);
  void collected(flow::FlowId id);
  void choose(flow::FlowId id, bool moved);
  affinity::Choice pick(flow::FlowId id);
  void nobody(flow::FlowId id);
  void refuse_head(flow::FlowId id);
  void not_served(flow::FlowId id, affinity::Reason reason);
  bool connect(flow::FlowId id, uint16_t backend, bool make_room);
  void disconnect(flow::FlowId id);
  void send_syn(flow::FlowId id);
  Ended connecting(Packet& p, flow::FlowId id, const tcp::SegmentIn& in);
  void connected(flow::FlowId id, const Binding& chosen);
  void attempt(flow::FlowId id);
  void failed(flow::FlowId id, bool silent);
  void redispatch(flow::FlowId id);
  static std::string_view answer_to(const Exchange* s, std::string_view text);
  void answer(flow::FlowId id, std::string_view text);
  bool say_last(flow::FlowId id, std::string_view text);
  Ended answered(Packet& p, flow::FlowId id, const tcp::SegmentIn& in);
  void reset_backend(flow::FlowId id);
  // splicer.cpp
  static tcp::SegmentIn segment_in(const Packet& p);
  static void say(const tcp::SegmentOut& from, wire::Segment& to);
  Ended relay(Packet& p, flow::FlowId id, tcp::Side from, const tcp::SegmentIn& in);
  Ended pass(Packet& p, flow::FlowId id, tcp::Side from, const tcp::Handled& h);
  void on_due(uint32_t binding);
  bool reset_ends(flow::FlowId id);

  // splicer_shares.cpp: who gives when memory is short
  uint64_t used_of(flow::Pool pool) const;
  uint64_t total_of(flow::Pool pool) const;
  bool may_give(flow::FlowId id, Tick quiet, bool busy_too) const;
  flow::FlowId pick(flow::Pool pool, unsigned samples, Tick quiet, bool busy_too);
  bool give_up(flow::FlowId id, flow::Pool pool);
  unsigned make_room();
  void empty_out(unsigned most);

  const SpliceEntry* entry_of(const flow::Record& r) const {
    return core_.snapshot->services[r.service].splice.get();
  }
  flow::FlowId id_of(const tcp::SpliceFlow& f) const {
    return static_cast<flow::FlowId>(&f - flows_.data());
  }
  Binding& binding_of(flow::FlowId id) { return pool_.at(flows_[id].binding); }

  Core& core_;
  Outlet& outlet_;
  FlowBook& book_;
  uint64_t (*const unix_time_)();  // seconds
  tcp::EditPool edits_;
  tcp::CopyPool copies_;
  Mapped<tcp::SpliceFlow> flows_;          // by flow id
  Mapped<affinity::StickHandle> goes_by_;  // by flow id: the stick entry that it holds
  HoldPool pool_;
  tcp::Splice splice_;
  tcp::Listener listener_;
  ExchangePool exchanges_;
  WaitingFlows waiting_;
  flow::Shares shares_;
  std::array<bool, flow::kPools> short_{};  // full to the mark once, and not emptied to a quarter
  Tick emptied_at_ = 0;                     // pools were looked at last
  uint64_t unix_now_ = 0;                   // seconds, as of unix_read_
  Instant unix_read_{};
  Strangers strangers_;
  Transactions transactions_;
};

}  // namespace limpet::dataplane
