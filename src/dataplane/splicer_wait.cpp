// How long a spliced connection may wait for what, and the end of one that has waited for too long.
//
// What moves a deadline is progress: an octet that comes or leaves for the first time, or is
// acknowledged for the first time. A bare ACK that says nothing new, a keep-alive probe or a
// retransmission only prolongs the life of a connection that nobody waits for (Wait::other,
// Wait::tunnel).
#include <array>

#include "splicer.h"

namespace limpet::dataplane {

using tcp::Side;

namespace {

constexpr size_t kUp = tcp::index_of(Side::client);
constexpr size_t kDown = tcp::index_of(Side::backend);

// Frames for a reset and an answer; whether there are any is known before either leaves.
constexpr unsigned kFramesOfAnAnswer = 4;

// Whether all that may pass of a stream has left for its receiver.
bool sent(const tcp::StreamMap& map, const tcp::EditPool& edits) {
  return map.floor(edits, map.emitted()) >= map.frontier();
}

}  // namespace

// A sum of numbers that only grow: another one tells that something has moved.
uint32_t Splicer::progress(flow::FlowId id) {
  const tcp::SpliceFlow& f = flows_[id];
  uint32_t sum = f.ends[kUp].map.emitted().value + f.ends[kUp].map.ack().value +
                 f.ends[kDown].map.emitted().value + f.ends[kDown].map.ack().value;
  if (f.binding == tcp::kNoBinding) return sum;
  for (const tcp::HeldStream& held : pool_.at(f.binding).splice.streams)
    if (held.hold.active()) sum += held.hold.end().value;
  return sum;
}

flow::Wait Splicer::wait_for(flow::FlowId id, bool backend_spoke) {
  using flow::Wait;
  const tcp::SpliceFlow& f = flows_[id];
  const tcp::StreamMap &up = f.ends[kUp].map, &down = f.ends[kDown].map;
  const Exchange* s = exchange_of(id);
  // Nobody reads what its ends say. Where nobody ever did, it becomes a tunnel with the first octet
  // of the first answer: before that nothing but a request can be under way.
  if ((up.is_open() && down.is_open()) || (s != nullptr && s->up == Exchange::Up::tunnel)) {
    const Wait before = flow::wait_of(book_.at(id));
    const bool first = before == Wait::response || before == Wait::other;
    return first && !backend_spoke ? before : Wait::tunnel;
  }
  // A client that does not read makes its backend wait.
  const Wait more = f.ends[kDown].right > down.emitted() ? Wait::response : Wait::other;
  if (s == nullptr) {
    if (!sent(down, edits_)) return more;
    return sent(up, edits_) ? Wait::keep_alive : Wait::other;
  }
  const bool asking = s->up == Exchange::Up::body || !sent(up, edits_);
  if (s->asked_count > 1) return Wait::response;
  if (s->asked_count == 1) return asking ? Wait::other : Wait::response;
  if (asking || s->request.position() != 0) return Wait::other;
  if (s->down != Exchange::Down::head || !sent(down, edits_)) return more;
  return Wait::keep_alive;
}

// After every step of a connection that stands.
void Splicer::watch(flow::FlowId id, bool backend_spoke) {
  if (!book_.live(id)) return;
  flow::Record& r = book_.at(id);
  if (r.state != tcp::Track::established && r.state != tcp::Track::fin_client &&
      r.state != tcp::Track::fin_backend)
    return;
  const flow::Wait wait = wait_for(id, backend_spoke);
  if (wait == flow::wait_of(r)) return;
  flow::set_wait(r, wait);
  r.last_seen = core_.tick;
  // A record that comes due early is armed again: only a deadline that comes nearer costs.
  book_.arm_by(id, core_.tick + book_.timeout_of(r));
}

// Its client has everything that was ever sent to it, and may still read: octets of ours would
// follow what it has.
bool Splicer::nothing_on_its_way(flow::FlowId id) const {
  const flow::Record& r = book_.at(id);
  const tcp::StreamMap& down = flows_[id].ends[kDown].map;
  // A body of known length is through for the exchange before its octets have come.
  return (r.state == tcp::Track::established || r.state == tcp::Track::fin_client) &&
         down.ack() == down.emitted() && down.una() >= down.frontier() && !down.edited();
}

// A request is complete and nothing of its answer has passed: 504, as a backend would say it.
bool Splicer::no_answer(flow::FlowId id) {
  const Exchange* s = exchange_of(id);
  const SpliceEntry* entry = entry_of(book_.at(id));
  if (s == nullptr || entry == nullptr || s->asked_count == 0 || s->down != Exchange::Down::head ||
      !nothing_on_its_way(id) || !say_last(id, answer_to(s, entry->no_answer)))
    return false;
  reset_backend(id);
  not_served(id, affinity::Reason::response_timeout);
  disconnect(id);
  let_go_of_rules(id);
  book_.enter(id, tcp::Track::answering);
  return true;
}

bool Splicer::expired(flow::FlowId id) {
  const bool told = tell_ends(id);
  if (told) settle(id);
  return told;
}

bool Splicer::tell_ends(flow::FlowId id) {
  const flow::Wait wait = flow::wait_of(book_.at(id));
  blame(id, wait == flow::Wait::response ? Ending::backend_timeout
            : wait == flow::Wait::tunnel ? Ending::idle
                                         : Ending::client_timeout);
  if (wait != flow::Wait::response) return reset_ends(id);
  std::array<rte_mbuf*, kFramesOfAnAnswer> frames;
  if (rte_pktmbuf_alloc_bulk(core_.pool, frames.data(), frames.size()) != 0) return false;
  rte_pktmbuf_free_bulk(frames.data(), frames.size());
  if (no_answer(id)) return true;
  if (!reset_ends(id)) return false;
  not_served(id, affinity::Reason::response_timeout);
  return true;
}

// The ceiling of all time-outs was lower than what its tries of a backend take.
void Splicer::never_connected(flow::FlowId id) {
  blame(id, Ending::connect_timeout);
  disconnect(id);
  nobody(id);
}

}  // namespace limpet::dataplane
