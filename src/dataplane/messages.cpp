// What the control thread sends over the ring: backend states and questions.
#include <algorithm>

#include "parts.h"

namespace limpet::dataplane {

void Worker::Parts::on_message(const ToWorker& m) {
  switch (m.type) {
    case ToWorker::Type::backend:
      core.status[m.slot] = m.status;
      status_generation[m.slot] = m.generation;
      return book.backend_state(m.slot, m.status);
    case ToWorker::Type::announce:
      return outlet.announce_again(m.slot, 0);
    case ToWorker::Type::query:
      m.query->cursor = 0;
      m.query->filled = 0;
      m.query->truncated = false;
      m.query->now = core.tick;
      queries.push_back(m.query);
      return;
  }
}

// The oldest question only: answers come in order, and one round of the table is short.
void Worker::Parts::answer_queries(unsigned budget) {
  Query& q = *queries.front();
  const flow::Table& table = book.table();
  const Neighbors& neighbors = outlet.neighbors();
  bool finished = false;
  if (q.kind == QueryKind::flows) {
    const uint32_t until = std::min(q.cursor + budget, table.capacity());
    for (; q.cursor < until; ++q.cursor) {
      if (!table.live(q.cursor)) continue;
      const flow::Record& r = table.at(q.cursor);
      if (q.service != kNoSlot && r.service != q.service) continue;
      if (q.filled == q.flows.size()) {
        q.truncated = true;
        break;
      }
      if (q.filled < q.edits.size())
        q.edits[q.filled] = flow::forwarding_of(r) == Forwarding::splice
                                ? splicer.live_edits(q.cursor)
                                : FlowEdits{};
      static_cast<flow::Record&>(q.flows[q.filled]) = r;
      q.flows[q.filled].created = table.aside(q.cursor).created;
      q.flows[q.filled++].reason = table.aside(q.cursor).reason;
    }
    finished = q.truncated || q.cursor == table.capacity();
  } else if (q.kind == QueryKind::top) {
    splicer.top(q);
    finished = true;
  } else {
    for (uint32_t i = 0; i < neighbors.capacity(); ++i) {
      const Neighbor& n = neighbors.at(static_cast<uint16_t>(i));
      if (n.state == NeighborState::free) continue;
      if (q.filled == q.neighbors.size()) {
        q.truncated = true;
        break;
      }
      q.neighbors[q.filled++] = {n.port, static_cast<uint8_t>(n.state), n.address,
                                 n.mac,  core.tick - n.since,           n.waiting};
    }
    finished = true;
  }
  if (!finished) return;
  q.done.store(true, std::memory_order_release);  // from here on it is control's
  queries.erase(queries.begin());
}

}  // namespace limpet::dataplane
