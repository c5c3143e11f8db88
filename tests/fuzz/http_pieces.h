// What the fuzzers of heads share: promises, and framing in pieces that the input chooses.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>
#include <vector>

#include "limpet/http/body.h"
#include "limpet/http/head.h"

namespace limpet::http::fuzz {

using Bytes = std::vector<uint8_t>;

inline void require(bool promise, const char* text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

// The same bytes in storage that ends with them.
inline Bytes copy(std::span<const uint8_t> bytes) {
  return {bytes.begin(), bytes.end()};
}

inline bool inside(Range r, uint32_t begin, uint32_t end) {
  return !r.present() || (begin <= r.begin && r.begin <= r.end && r.end <= end);
}

// Piece sizes from 1 on, pseudo-random by a seed that the input gives: mostly small.
class Cutter {
 public:
  explicit Cutter(uint8_t seed) : state_(seed * 2654435761u + 1) {}
  size_t next() {
    state_ = state_ * 1664525u + 1013904223u;
    const uint32_t r = state_ >> 16;
    return r % 4 == 0 ? 1 + r % 61 : 1 + r % 3;
  }

 private:
  uint32_t state_;
};

inline void check_bounds(const HeadBounds& b, std::span<const uint8_t> bytes) {
  require(b.start_line < b.headers && b.headers <= b.empty_line && b.empty_line < b.end &&
              b.end <= bytes.size(),
          "bounds are ordered and inside");
  require(
      bytes[b.headers - 1] == '\n' && bytes[b.empty_line - 1] == '\n' && bytes[b.end - 1] == '\n',
      "header lines begin and end behind a line end");
  require(b.end - b.empty_line <= 2, "the empty line is empty");
  require(b.crlf == (bytes[b.headers - 2] == '\r'), "crlf tells how the start line ends");
}

// Feeds `bytes` whole and in pieces, expects the same, and what a caller may rely on beside: `head`
// is the whole one's. Returns what the framer said.
template <class Framer, class Head>
Fed frame(std::span<const uint8_t> bytes, uint8_t seed, const Framer& fresh, Head& head,
          Refusal& refusal) {
  Framer whole = fresh;
  const Fed fed = whole.feed(copy(bytes), head);
  refusal = whole.refusal();
  require((fed == Fed::refused) == (refusal != Refusal::none), "what is refused has a reason");
  require(whole.position() <= bytes.size(), "the position is inside");
  require(fed != Fed::need_more || whole.position() == bytes.size(), "all has been looked at");

  Framer pieces = fresh;
  Head found;
  Fed last = Fed::need_more;
  Cutter cutter(seed);
  for (size_t size = 0; size < bytes.size() && last == Fed::need_more;) {
    size = std::min(bytes.size(), size + cutter.next());
    last = pieces.feed(copy(bytes.first(size)), found);
    require(last != Fed::need_more || size < bytes.size() || fed == Fed::need_more,
            "pieces need no more than the whole");
  }
  require(bytes.empty() || last == fed, "pieces are judged as the whole");
  require(pieces.refusal() == refusal && pieces.position() == whole.position(),
          "pieces are refused as the whole");
  require(last != Fed::complete || found == head, "pieces have the same head");

  if (fed == Fed::complete) {
    check_bounds(head.bounds, bytes);
    require(whole.position() == head.bounds.end, "nothing behind the head is looked at");
    Head again;
    require(whole.feed(copy(bytes.first(head.bounds.end)), again) == Fed::complete && again == head,
            "a complete framer says the same again");
    Framer shorter = fresh;
    require(shorter.feed(copy(bytes.first(head.bounds.end - 1)), again) == Fed::need_more,
            "a byte less is not complete");
  }
  return fed;
}

// Skips a body whole and in pieces; returns what was taken.
inline size_t skip(std::span<const uint8_t> bytes, uint8_t seed, Framing framing, Side side,
                   bool& finished) {
  BodySkipper whole(framing, side);
  const size_t taken = whole.skip(copy(bytes));
  require(taken <= bytes.size(), "no more is taken than there is");
  require(taken == bytes.size() || whole.finished() || whole.failed(),
          "what goes on takes everything");
  require(!(whole.finished() && whole.failed()), "what fails does not finish");
  BodySkipper pieces(framing, side);
  Cutter cutter(seed);
  size_t n = 0;
  while (n < bytes.size()) {
    // Some of the data passes unseen.
    const size_t size = std::min(bytes.size() - n, cutter.next());
    if (size % 2 == 0 && pieces.blind() >= size) {
      pieces.skip_blind(size);
      n += size;
      continue;
    }
    const size_t m = pieces.skip(copy(bytes.subspan(n, size)));
    n += m;
    if (m < size) break;
  }
  require(n == taken && pieces == whole, "pieces of a body are skipped as the whole");
  finished = whole.finished();
  return taken;
}

}  // namespace limpet::http::fuzz
