// How flows live and end: time-outs, eviction, and flows whose backend died.
#include <netinet/in.h>

#include <algorithm>
#include <array>

#include "splicer.h"
#include "work.h"

namespace limpet::dataplane {
namespace {

// A stale connection at the backend ends with one reset; a lost one costs another round.
constexpr uint8_t kMaxResends = 3;
// Whether two hosts may be waiting for something in this state.
constexpr bool stands(tcp::Track state) {
  return state == tcp::Track::established || state == tcp::Track::fin_client ||
         state == tcp::Track::fin_backend;
}

}  // namespace

Tick Worker::timeout_of(const flow::Record& r) const {
  return dataplane::timeout_of(r, snapshot_->services[r.service].timeouts);
}

void Worker::enter(flow::FlowId id, tcp::Track state) {
  flow::Record& r = table_.at(id);
  if (r.state == tcp::Track::syn_sent && (r.flags & flow::syn_held) != 0) drop_syn(id);
  r.state = state;
  wheel_.arm(id, tick_ + timeout_of(r));
}

// Packets stamp last_seen only, so a record that comes due may have been busy meanwhile.
void Worker::on_due(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  const Tick deadline = r.last_seen + timeout_of(r);
  if (tick_before(tick_, deadline)) return wheel_.arm(id, deadline);
  if (r.state == tcp::Track::syn_sent) stats_.backends[r.backend].connect_failures.add();
  if (r.state == tcp::Track::head && splicer_->slow_head(id)) return splicer_->settle(id);
  if (r.state == tcp::Track::connecting) {
    n_.flows_expired.add();
    splicer_->never_connected(id);
    return splicer_->settle(id);
  }
  if (stands(r.state) && snapshot_->services[r.service].timeouts.tells) {
    if (!tell_ends(id)) return wheel_.arm(id, tick_);  // no buffers, or enough for this iteration
    return n_.flows_expired.add();
  }
  if (r.state == tcp::Track::answering) splicer_->not_heard(id);
  if (r.state != tcp::Track::dead) n_.flows_expired.add();
  end_flow(id);
}

// What limpet forgets it ends: both hosts of a connection that stands hear of it, at the exact
// numbers, and a tombstone stays. So many an iteration, or a transmit queue that is full would lose
// the resets. False: nothing has changed, and it is to be tried again.
bool Worker::tell_ends(flow::FlowId id) {
  if (gone_left_ == 0) return false;
  const bool spliced = (table_.at(id).flags & flow::spliced) != 0;
  if (!(spliced ? splicer_->expired(id) : reset_both(id))) return false;
  if (spliced) splicer_->settle(id);
  --gone_left_;
  return true;
}

void Worker::end_flow(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  if ((r.flags & flow::syn_held) != 0) drop_syn(id);
  const bool bound = (r.flags & flow::unbound) == 0;
  if (bound) give_source(r);
  if ((r.flags & flow::spliced) != 0) splicer_->ended(id);
  const uint16_t backend = r.backend;
  const uint16_t service = r.service;
  wheel_.cancel(id);
  table_.erase(id);
  // Last: with no flow left, control gives the slot to another endpoint.
  if (bound) stats_.backends[backend].connections_active.sub();
  stats_.services[service].connections_active.sub();
}

// Of a full table. Ended flows first, then half-open ones (a SYN flood evicts itself); established
// flows never.
bool Worker::evict() {
  const flow::FlowId victim = table_.victim(random(), tick_);
  if (victim == flow::kNoFlow) return false;
  n_.flows_evicted.add();
  end_flow(victim);
  return true;
}

// Of a segment that finds a tombstone: its backend is gone, or the connection was quiet for too
// long.
Drop Worker::epitaph(const flow::Record& r) const {
  return status_[r.backend].accepts_existing() ? Drop::no_flow : Drop::backend_down;
}

// A tombstone lets go of its backend and of its port there, and goes on answering its client. What
// the backend still says is answered as that of no flow.
void Worker::bury(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  give_source(r);
  table_.unbind(id);
  stats_.backends[r.backend].connections_active.sub();
}

void Worker::hold_syn(flow::FlowId id, const rte_mbuf* frame) {
  HeldSyn& cell = syns_[id % syns_.size()];
  if (cell.frame != nullptr) {
    if (cell.flow == id) return;  // a retransmission: the copy we have is as good
    if (table_.live(cell.flow)) table_.at(cell.flow).flags &= static_cast<uint8_t>(~flow::syn_held);
    rte_pktmbuf_free(cell.frame);
  }
  cell.frame = rte_pktmbuf_copy(frame, pool_, 0, UINT32_MAX);
  cell.flow = id;
  cell.resends = 0;
  if (cell.frame != nullptr) table_.at(id).flags |= flow::syn_held;
}

rte_mbuf* Worker::held_syn(flow::FlowId id) {
  const HeldSyn& cell = syns_[id % syns_.size()];
  return cell.flow == id ? cell.frame : nullptr;
}

// True when it has been sent again as often as one SYN of the client may make us.
bool Worker::spend_syn(flow::FlowId id) {
  return ++syns_[id % syns_.size()].resends >= kMaxResends;
}

void Worker::drop_syn(flow::FlowId id) {
  HeldSyn& cell = syns_[id % syns_.size()];
  if (cell.flow == id) {
    rte_pktmbuf_free(cell.frame);
    cell = {};
  }
  table_.at(id).flags &= static_cast<uint8_t>(~flow::syn_held);
}

// Tells both ends of an established TCP flow, at the exact numbers they accept (RFC 5961, 3.2), and
// leaves a tombstone that answers what still comes. Other flows just end: their client's next
// packet is balanced anew. False, and nothing has changed, when there was no buffer to tell them.
bool Worker::backend_gone(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  if ((r.flags & flow::spliced) != 0) return splicer_->backend_gone(id);
  switch (r.state) {
    case tcp::Track::established:
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend:
      break;
    case tcp::Track::dead:
      return true;
    default:
      end_flow(id);
      return true;
  }
  return reset_both(id);
}

// Each end at its last ACK, and where it was sent more than that, behind it too: when that ACK was
// lost the first one lies before what the receiver expects and says nothing to it (RFC 9293,
// 3.10.7.4), when octets were lost the second one is challenged, which the tombstone answers.
bool Worker::reset_both(flow::FlowId id) {
  const flow::Record& r = table_.at(id);
  const auto ack = [&r](tcp::Side at) { return r.edges.ack[tcp::index_of(at)]; };
  const auto sent = [&r](tcp::Side to) { return r.edges.end[tcp::index_of(tcp::other(to))]; };
  const bool more_to_client = sent(tcp::Side::client) > ack(tcp::Side::client);
  const bool more_to_backend = sent(tcp::Side::backend) > ack(tcp::Side::backend);
  std::array<rte_mbuf*, 4> frames;
  const unsigned count = 2u + (more_to_client ? 1 : 0) + (more_to_backend ? 1 : 0);
  if (rte_pktmbuf_alloc_bulk(pool_, frames.data(), count) != 0) return false;
  const ServiceEntry& service = snapshot_->services[r.service];
  const BackendEntry& backend = snapshot_->backends[r.backend];
  wire::Reset to_client{.source = service.vip,
                        .destination = r.client,
                        .source_port = service.port,
                        .destination_port = r.client_port,
                        .sequence = ack(tcp::Side::client).value,
                        .acknowledgment = std::nullopt};
  wire::Reset to_backend{.source = snapshot_->sources[r.source].address,
                         .destination = backend.address,
                         .source_port = r.source_port,
                         .destination_port = backend.port,
                         .sequence = ack(tcp::Side::backend).value,
                         .acknowledgment = std::nullopt};
  if ((r.flags & flow::spliced) != 0) {
    splicer_->mark(id, tcp::Side::backend, to_client);
    splicer_->mark(id, tcp::Side::client, to_backend);
  }
  rte_mbuf* const* next = frames.data();
  send_reset(*next++, to_client);
  send_reset(*next++, to_backend);
  if (more_to_client) {
    to_client.sequence = sent(tcp::Side::client).value;
    send_reset(*next++, to_client);
  }
  if (more_to_backend) {
    to_backend.sequence = sent(tcp::Side::backend).value;
    send_reset(*next++, to_backend);
  }
  n_.flows_reset.add();
  table_.at(id).last_seen = tick_;
  enter(id, tcp::Track::dead);
  return true;
}

// A datagram flow whose backend or service a reload has removed: the next datagram is balanced
// anew.
bool Worker::stranded(const flow::Record& r) const {
  return r.state == tcp::Track::datagram &&
         (!snapshot_->backends[r.backend].configured || !snapshot_->services[r.service].configured);
}

bool Worker::flows_of_removed() const {
  for (size_t i = 0; i < snapshot_->backends.size(); ++i)
    if (!snapshot_->backends[i].configured && stats_.backends[i].connections_active.get() != 0)
      return true;
  for (size_t i = 0; i < snapshot_->services.size(); ++i)
    if (!snapshot_->services[i].configured && stats_.services[i].connections_active.get() != 0)
      return true;
  return false;
}

// Looks at `budget` records at most and ends few flows at a time: resets that find the transmit
// queue full would be lost, and a client that is silent would never hear.
void Worker::flush_dead(unsigned budget) {
  for (unsigned i = 0; i < budget && flush_left_ != 0 && gone_left_ != 0; ++i) {
    const flow::FlowId id = flush_cursor_;
    if (table_.live(id) && (table_.at(id).flags & flow::unbound) == 0 &&
        (dead_[table_.at(id).backend] != 0 || stranded(table_.at(id)))) {
      if (!backend_gone(id)) return;  // no buffers: from here on next time
      --gone_left_;
    }
    flush_cursor_ = flush_cursor_ + 1 == table_.capacity() ? 0 : flush_cursor_ + 1;
    --flush_left_;
  }
}

}  // namespace limpet::dataplane
