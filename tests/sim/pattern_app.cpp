#include "pattern_app.h"

namespace limpet::sim {

void PatternApp::go_on(Endpoint& e, Instant now) {
  std::array<uint8_t, 4096> piece;
  size_t most = options_.total - written_;
  if (options_.chunk > 0) most = std::min(most, options_.chunk);
  if (written_ < options_.singly) most = std::min<size_t>(most, 1);
  while (most > 0) {
    const size_t n = std::min(most, piece.size());
    fill_stream(options_.sends, written_, {piece.data(), n});
    const size_t taken = e.write({piece.data(), n}, now);
    written_ += taken;
    most -= taken;
    if (taken < n) break;  // on_room comes, or the timer
  }
  if (written_ < options_.total && options_.every.count() > 0) timer_ = now + options_.every;
  // Written in chunks without a pause: the rest at once.
  if (written_ < options_.total && options_.every.count() == 0 && most == 0) go_on(e, now);
  close_if_due(e, now);
}

void PatternApp::on_data(Endpoint& e, std::span<const uint8_t> data, Instant now) {
  std::array<uint8_t, 4096> expected;
  for (size_t at = 0; at < data.size() && difference_.empty();) {
    const size_t n = std::min(data.size() - at, expected.size());
    if (options_.expected == nullptr) {
      fill_stream(options_.expects, received_ + at, {expected.data(), n});
    } else if (received_ + at + n <= options_.expected->size()) {
      std::copy_n(options_.expected->begin() + static_cast<ptrdiff_t>(received_ + at), n,
                  expected.begin());
    } else {
      difference_ = "more than was sent";
      break;
    }
    const auto here = data.subspan(at, n);
    const auto [got, wanted] = std::mismatch(here.begin(), here.end(), expected.begin());
    if (got != here.end()) {
      difference_ =
          "octet " + std::to_string(received_ + at + static_cast<size_t>(got - here.begin())) +
          " of the stream is " + std::to_string(*got) + ", not " + std::to_string(*wanted);
    }
    at += n;
  }
  received_ += data.size();
  if (received_ > options_.awaits && difference_.empty()) difference_ = "more than was sent";
  close_if_due(e, now);
}

void PatternApp::close_if_due(Endpoint& e, Instant now) {
  if (written_ < options_.total) return;
  using Close = PatternOptions::Close;
  if (options_.close == Close::when_received && received_ < options_.awaits) return;
  if (options_.close == Close::after_peer && !peer_closed_) return;
  e.close(now);
}

std::string PatternApp::describe() const {
  return "sent " + std::to_string(written_) + " of " + std::to_string(options_.total) +
         ", received " + std::to_string(received_) + " of " + std::to_string(options_.awaits) +
         (peer_closed_ ? ", peer closed" : "") + (ended_ ? ", ended" : "") +
         (difference_.empty() ? "" : ", " + difference_);
}

}  // namespace limpet::sim
