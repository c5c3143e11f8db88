// What a spliced connection must look like from outside, written without the splice: the octets of
// each stream before and after its edits, what of them has come, and what its receiver has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <span>
#include <vector>

namespace limpet::tcp::fuzz {

using Bytes = std::vector<uint8_t>;

inline void require(bool promise, const char* text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

// Which octets of a stream somebody has, by offset.
class Octets {
 public:
  void add(uint32_t begin, uint32_t end) {
    if (begin >= end) return;
    auto next = ranges_.upper_bound(begin);
    if (next != ranges_.begin() && std::prev(next)->second >= begin) --next;
    while (next != ranges_.end() && next->first <= end) {
      begin = std::min(begin, next->first);
      end = std::max(end, next->second);
      next = ranges_.erase(next);
    }
    ranges_[begin] = end;
  }
  bool has(uint32_t begin, uint32_t end) const {
    const auto next = ranges_.upper_bound(begin);
    return next != ranges_.begin() && std::prev(next)->second >= end;
  }
  // Behind what is contiguous from the first octet on.
  uint32_t contiguous() const {
    return ranges_.empty() || ranges_.begin()->first != 0 ? 0 : ranges_.begin()->second;
  }
  const std::map<uint32_t, uint32_t>& ranges() const { return ranges_; }

 private:
  std::map<uint32_t, uint32_t> ranges_;
};

struct Edit {
  uint32_t at = 0, removed = 0;
  Bytes text;
};

// The stream that one side sends. Its FIN is the octet behind the last.
struct Stream {
  uint32_t salt = 0;
  uint32_t fin_at = 0;  // octets in all
  const Bytes* fixed = nullptr;
  std::vector<Edit> edits;  // made so far, in order
  Octets sent;              // to the splice, by original offset
  Octets received;          // by its receiver, by mapped offset
  bool fin_sent = false, fin_received = false;

  uint8_t original(uint32_t i) const {
    if (fixed != nullptr) return i < fixed->size() ? (*fixed)[i] : 0;
    return static_cast<uint8_t>((i + salt) * 2654435761u >> 23);
  }
  // The octet at a mapped offset.
  uint8_t mapped(uint32_t y) const {
    uint32_t x = 0;
    for (const Edit& e : edits) {
      if (y < e.at - x) break;
      y -= e.at - x;
      if (y < e.text.size()) return e.text[y];
      y -= static_cast<uint32_t>(e.text.size());
      x = e.at + e.removed;
    }
    return original(x + y);
  }
  // Where original octet x stands behind all edits, which are all in front of it.
  uint32_t behind_edits(uint32_t x) const {
    for (const Edit& e : edits) x += static_cast<uint32_t>(e.text.size()) - e.removed;
    return x;
  }
  uint32_t contiguous_sent() const {
    const uint32_t end = sent.contiguous();
    return end + (fin_sent && end == fin_at ? 1 : 0);
  }
  uint32_t contiguous_received() const {
    const uint32_t end = received.contiguous();
    return end + (fin_received && end == behind_edits(fin_at) ? 1 : 0);
  }
};

// What is read of the fuzzer's input; zeros behind its end.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    if (rest_.empty()) return 0;
    const uint8_t b = rest_[0];
    rest_ = rest_.subspan(1);
    return b;
  }
  uint16_t half() {
    const unsigned high = byte();
    return static_cast<uint16_t>(high << 8 | byte());
  }

 private:
  std::span<const uint8_t> rest_;
};

}  // namespace limpet::tcp::fuzz
