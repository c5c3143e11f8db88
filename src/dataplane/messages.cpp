// What the control thread sends over the ring: backend states and questions.
#include <algorithm>

#include "splicer.h"
#include "work.h"

namespace limpet::dataplane {

void Worker::on_message(const ToWorker& m) {
  switch (m.type) {
    case ToWorker::Type::backend:
      status_[m.slot] = m.status;
      status_generation_[m.slot] = m.generation;
      dead_[m.slot] = m.status.accepts_existing() ? 0 : 1;
      if (dead_[m.slot] != 0) flush_left_ = table_.capacity();  // one full round from here on
      return;
    case ToWorker::Type::announce:
      return announce_again(m.slot, 0);
    case ToWorker::Type::query:
      m.query->cursor = 0;
      m.query->filled = 0;
      m.query->truncated = false;
      m.query->now = tick_;
      queries_.push_back(m.query);
      return;
  }
}

// The oldest question only: answers come in order, and one round of the table is short.
void Worker::answer_queries(unsigned budget) {
  Query& q = *queries_.front();
  bool finished = false;
  if (q.kind == QueryKind::flows) {
    const uint32_t until = std::min(q.cursor + budget, table_.capacity());
    for (; q.cursor < until; ++q.cursor) {
      if (!table_.live(q.cursor)) continue;
      const flow::Record& r = table_.at(q.cursor);
      if (q.service != kNoSlot && r.service != q.service) continue;
      if (q.filled == q.flows.size()) {
        q.truncated = true;
        break;
      }
      if (q.filled < q.edits.size())
        q.edits[q.filled] =
            (r.flags & flow::spliced) != 0 ? splicer_->live_edits(q.cursor) : FlowEdits{};
      static_cast<flow::Record&>(q.flows[q.filled]) = r;
      q.flows[q.filled].created = table_.aside(q.cursor).created;
      q.flows[q.filled++].reason = table_.aside(q.cursor).reason;
    }
    finished = q.truncated || q.cursor == table_.capacity();
  } else if (q.kind == QueryKind::top) {
    splicer_->top(q);
    finished = true;
  } else {
    for (uint32_t i = 0; i < neighbors_.capacity(); ++i) {
      const Neighbor& n = neighbors_.at(static_cast<uint16_t>(i));
      if (n.state == NeighborState::free) continue;
      if (q.filled == q.neighbors.size()) {
        q.truncated = true;
        break;
      }
      q.neighbors[q.filled++] = {
          n.port, static_cast<uint8_t>(n.state), n.address, n.mac, tick_ - n.since, n.waiting};
    }
    finished = true;
  }
  if (!finished) return;
  q.done.store(true, std::memory_order_release);  // from here on it is control's
  queries_.erase(queries_.begin());
}

}  // namespace limpet::dataplane
