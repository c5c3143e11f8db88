// What has become of requests that have lines in the log. Called for connections that have some.
#include <charconv>

#include "splicer.h"

namespace limpet::dataplane {

// After everything that may have made octets leave.
void Splicer::log_moved(flow::FlowId id) {
  tcp::SpliceFlow& f = flows_[id];
  const tcp::Track state = book_.at(id).state;
  if (state == tcp::Track::closed) return log_ends(id);  // by a reset, with which nothing has left
  // A FIN has left when the state says so, and has a number of its own.
  const auto left = [&](const tcp::StreamMap& map, bool fin) {
    return map.floor(edits_, map.emitted()) - (fin ? 1u : 0u);
  };
  const bool over = state == tcp::Track::time_wait;
  const bool backend_closed = over || state == tcp::Track::fin_backend;
  const tcp::Seq up = left(f.ends[0].map, over || state == tcp::Track::fin_client);
  const tcp::Seq down = left(f.ends[1].map, backend_closed);
  if (backend_closed) transactions_.backend_closed(id, down);
  f.logged = transactions_.moved(id, up, down);
  if (over) log_ends(id);
}

// The connection is over, or will be with an answer of our own.
void Splicer::log_ends(flow::FlowId id) {
  tcp::SpliceFlow& f = flows_[id];
  if (!f.logged) return;
  transactions_.close(id);
  f.logged = false;
  if (Exchange* s = exchange_of(id); s != nullptr) s->forget_transactions();
}

void Splicer::log_answer(flow::FlowId id, std::string_view text) {
  constexpr size_t kStatusAt = sizeof("HTTP/1.1 ") - 1;
  uint16_t status = 0;
  if (text.size() > kStatusAt + 3)
    std::from_chars(text.data() + kStatusAt, text.data() + kStatusAt + 3, status);
  transactions_.own_answer(id, status, text.size());
  log_ends(id);
}

}  // namespace limpet::dataplane
