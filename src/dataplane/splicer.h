// Mode splice of a worker: from the frame to tcp::Splice and back. Owns everything that spliced
// flows need beside their records; the worker calls it for frames of services in this mode and of
// flows that are `spliced`, and it uses the worker's table, wheel, neighbors and way out.
//
//   no flow ----- data of a proven client ----> head ---- head complete ----> connecting
//   connecting -- SYN-ACK --> established, then as in mode nat
//             `-- RST, time-out --> another backend; none left --> answering
//   head -------- no request --> answering
#pragma once

#include "hold_pool.h"
#include "limpet/dataplane/worker.h"
#include "limpet/flow/shares.h"
#include "limpet/tcp/edit_pool.h"
#include "limpet/tcp/handshake.h"
#include "limpet/tcp/splice.h"
#include "limpet/wire/segment.h"
#include "session.h"
#include "strangers.h"
#include "waiting.h"
#include "work.h"

namespace limpet::dataplane {

// What a spliced connection costs for its whole life, beside the table's index and the bytes of
// edits that are not acknowledged yet. A Session and a Binding come and go with what is under way.
static_assert(sizeof(flow::Record) + sizeof(tcp::SpliceFlow) <= 192);

class Worker::Splicer : tcp::SpliceSink, tcp::SpliceEditor {
 public:
  Splicer(Worker& worker, const WorkerSetup& setup, Instant now);
  ~Splicer();

  void no_flow(Worker::Work& w);
  void from_client(Worker::Work& w, flow::FlowId id);
  void from_backend(Worker::Work& w, flow::FlowId id);
  void tick();
  void ended(flow::FlowId id);         // the record is about to be erased
  bool backend_gone(flow::FlowId id);  // as the worker's
  bool slow_head(flow::FlowId id);     // its time is over: true when that has been dealt with
  bool expired(flow::FlowId id);       // likewise; false: no buffers to tell its ends
  void never_connected(flow::FlowId id);
  void not_heard(flow::FlowId id);  // likewise of what limpet itself answered
  void settle(flow::FlowId id);     // what it holds may have changed (splicer_shares.cpp)
  void mark(flow::FlowId id, tcp::Side from, wire::Reset& reset) const;
  void top(Query& q) const;  // who holds most

  // The quoted number of a packet too big, and the MTU to tell; nothing when it is not believed.
  std::optional<tcp::Splice::TooBig> too_big(flow::FlowId id, tcp::Side to, uint32_t seq,
                                             uint32_t mtu, bool v6);
  bool in_flight(flow::FlowId id, tcp::Side to, uint32_t seq) const {
    return tcp::Splice::in_flight(flows_[id], to, tcp::Seq{seq});
  }
  uint32_t translated(flow::FlowId id, tcp::Side to, uint32_t seq) const;
  // splicer_note.cpp: what control is told
  FlowEdits live_edits(flow::FlowId id) const;
  // Once a connection: it is bound to a backend that has answered, or there is none for it. Nothing
  // happens when its service keeps no session log.
  void note_session(flow::FlowId id);

 private:
  void emit(tcp::Side to, const tcp::SegmentOut& segment) override;
  uint32_t most(tcp::Side to) override;
  tcp::Shown show(tcp::SpliceFlow& flow, tcp::Side from, std::span<const uint8_t> bytes,
                  bool fin) override;
  void not_kept(tcp::SpliceFlow& flow, tcp::Side from) override;

  // splicer_listen.cpp
  tcp::Hearing listen(const Worker::Work& w, const ServiceEntry& service, const tcp::SegmentIn& in);
  void hear(Worker::Work& w, const tcp::Hearing& heard, const tcp::SegmentIn& in);
  bool other_incarnation(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in);
  void open(Worker::Work& w, const tcp::Hearing& heard, const tcp::SegmentIn& in);
  void stranger(Worker::Work& w);
  void reply(Worker::Work& w, const tcp::SegmentOut& segment);
  // splicer_session.cpp
  Session* session_of(flow::FlowId id);
  SessionContext context(flow::FlowId id);
  void let_go_of_rules(flow::FlowId id);
  void follow_up(flow::FlowId id, bool moved);
  void watch_head(flow::FlowId id, const Session& s);
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
  void give_session(flow::FlowId id);
  void go_by(flow::FlowId id, affinity::StickHandle entry);
  void publish();
  // splicer_connect.cpp
  void collect(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in);
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
  void connecting(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in);
  void attempt(flow::FlowId id);
  void failed(flow::FlowId id);
  void redispatch(flow::FlowId id);
  static std::string_view answer_to(const Session* s, std::string_view text);
  void answer(flow::FlowId id, std::string_view text);
  bool say_last(flow::FlowId id, std::string_view text);
  void answered(Worker::Work& w, flow::FlowId id, const tcp::SegmentIn& in);
  void reset_client(flow::FlowId id);
  void reset_backend(flow::FlowId id);
  // splicer.cpp
  static tcp::SegmentIn segment_in(const Worker::Work& w);
  static void say(const tcp::SegmentOut& from, wire::Segment& to);
  void relay(Worker::Work& w, flow::FlowId id, tcp::Side from, const tcp::SegmentIn& in);
  void pass(Worker::Work& w, flow::FlowId id, tcp::Side from, const tcp::Handled& h);
  void on_due(uint32_t work);
  bool leave_backend(flow::FlowId id);
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
    return w_.snapshot_->services[r.service].splice.get();
  }
  Binding& binding_of(flow::FlowId id) { return pool_.at(flows_[id].work); }

  Worker& w_;
  tcp::EditPool edits_;
  tcp::CopyPool copies_;
  Mapped<tcp::SpliceFlow> flows_;          // by flow id
  Mapped<affinity::StickHandle> goes_by_;  // by flow id: the stick entry that it holds
  HoldPool pool_;
  tcp::Splice splice_;
  tcp::Listener listener_;
  SessionPool sessions_;
  WaitingFlows waiting_;
  flow::Shares shares_;
  std::array<bool, flow::kPools> short_{};  // full to the mark once, and not emptied to a quarter
  Tick emptied_at_ = 0;                     // pools were looked at last
  uint64_t unix_now_ = 0;                   // seconds, as of unix_read_
  Instant unix_read_{};
  Strangers strangers_;
  flow::FlowId current_ = flow::kNoFlow;  // whose segments emit() sends
};

}  // namespace limpet::dataplane
