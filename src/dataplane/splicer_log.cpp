// What has become of requests that have lines in the log. Called for connections that have some.
#include <charconv>

#include "splicer.h"

namespace limpet::dataplane {

// After everything that may have made octets leave.
void Splicer::log_moved(flow::FlowId id) {
  tcp::SpliceFlow& f = flows_[id];
  const auto left = [&](const tcp::StreamMap& map) { return map.floor(edits_, map.emitted()); };
  const tcp::Seq up = left(f.ends[0].map), down = left(f.ends[1].map);
  const tcp::Track state = book_.at(id).state;
  const bool over = state == tcp::Track::time_wait || state == tcp::Track::closed;
  if (over || state == tcp::Track::fin_backend) transactions_.backend_closed(id, down);
  f.logged = transactions_.moved(id, up, down);
  if (over) log_ends(id);
}

// The connection is over, or will be with an answer of our own.
void Splicer::log_ends(flow::FlowId id) {
  tcp::SpliceFlow& f = flows_[id];
  if (!f.logged) return;
  transactions_.close(id);
  f.logged = false;
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
