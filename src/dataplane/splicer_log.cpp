// What has become of requests that have lines in the log. Called for connections that have some.
#include <charconv>

#include "splicer.h"

namespace limpet::dataplane {

// After everything that may have made octets leave.
void Splicer::log_moved(flow::FlowId id) {
  const tcp::Track state = book_.at(id).state;
  if (state == tcp::Track::closed) return log_ends(id);  // by a reset, with which nothing has left
  tcp::SpliceFlow& f = flows_[id];
  const auto left = [&](const tcp::StreamMap& map) { return map.floor(edits_, map.emitted()); };
  f.logged = transactions_.moved(id, left(f.ends[0].map), left(f.ends[1].map),
                                 state == tcp::Track::time_wait);
}

// A FIN came, which may still wait behind octets, or be cut off and come again.
void Splicer::log_fin(flow::FlowId id, tcp::Side from, const tcp::SegmentIn& in) {
  const tcp::Seq at = in.seq + static_cast<uint32_t>(in.payload.size());
  if (from == tcp::Side::backend)
    transactions_.backend_closed(id, at);
  else
    transactions_.client_closed(id, at);
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
