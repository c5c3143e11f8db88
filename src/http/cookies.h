// Reads the values of Cookie and Set-Cookie headers, the way HAProxy 2.6 reads them.
#pragma once

#include <algorithm>

#include "chars.h"

namespace limpet::http {

enum class PairKind : uint8_t {
  cookie,     // name=value
  attribute,  // begins with '$': belongs to the cookie before it (RFC 2965)
  bare,       // no '=', perhaps nothing at all
};

struct Pair {
  PairKind kind = PairKind::bare;
  uint32_t before = 0;  // the separator in front of it, or the value's begin
  Range name;
  Range value;
  uint32_t end = 0;  // the separator behind it, or the value's end
};

// What stands at [at, end), up to the next of ';' and `separator`.
inline Pair pair_at(Bytes head, uint32_t at, uint32_t end, uint8_t separator) {
  Pair p;
  while (at < end && is_space(head[at])) ++at;
  uint32_t equal = at;
  while (equal < end && head[equal] != '=' && head[equal] != ';' && head[equal] != separator)
    ++equal;
  p.name = {at, equal};
  while (p.name.end > at && is_space(head[p.name.end - 1])) --p.name.end;
  p.end = equal;
  p.value = {equal, equal};
  if (equal < end && head[equal] == '=') {
    p.kind = PairKind::cookie;
    // Both delimiters also end a Set-Cookie's value, though only ';' ends its name.
    p.end = find_unquoted(head, equal + 1, end, ';', ',');
    p.value = {equal + 1, p.end};
    while (p.value.begin < p.value.end && is_space(head[p.value.begin])) ++p.value.begin;
    while (p.value.begin < p.value.end && is_space(head[p.value.end - 1])) --p.value.end;
  }
  if (at < end && head[at] == '$') p.kind = PairKind::attribute;
  return p;
}

// The pairs of one Cookie header, whose trimmed value is [begin, end).
class CookieReader {
 public:
  CookieReader(Bytes head, Range value) : head_(head), value_(value), at_(value.begin) {}

  bool next(Pair& p) {
    if (at_ >= value_.end) return false;
    const uint32_t before = at_;
    p = pair_at(head_, first_ ? at_ : at_ + 1, value_.end, ',');
    p.before = before;
    first_ = false;
    at_ = p.end;
    return true;
  }

 private:
  const Bytes head_;
  const Range value_;
  uint32_t at_;
  bool first_ = true;
};

// visit(name, value) for the pairs NAME=VALUE of one Cookie header as RFC 6265, 5.4, makes it: they
// are separated by ';', whatever else stands in them.
template <class Visit>
void for_each_plain_pair(Bytes head, Range value, Visit&& visit) {
  for (uint32_t at = value.begin; at < value.end;) {
    uint32_t end = at, equal = value.end;
    for (; end < value.end && head[end] != ';'; ++end)
      if (head[end] == '=' && equal == value.end) equal = end;
    if (equal < end) visit(trimmed(head, {at, equal}), trimmed(head, {equal + 1, end}));
    at = end + 1;
  }
}

// Finds which bytes of one Cookie header go when some of its cookies are stripped. Fed every pair
// of the header in order; a run of stripped cookies, with the attributes behind them, goes at once.
class Stripper {
 public:
  Stripper(Bytes head, Range value) : head_(head), value_(value), removed_until_(value.begin) {}

  bool running() const { return running_; }

  // A cookie that is stripped. True when it begins a run, for which keep() or end() then answer.
  bool strip(const Pair& p) {
    if (running_) return false;
    running_ = true;
    from_ = p.before;
    return true;
  }

  // A pair that stays: what the run before it removes. Only while running().
  Range keep(const Pair& p) {
    kept_ = true;
    running_ = false;
    if (leads()) {
      uint32_t to = std::min(p.before + 1, value_.end);
      while (to < value_.end && is_space(head_[to])) ++to;
      return removed({from_, to});
    }
    while (from_ > removed_until_ && is_space(head_[from_ - 1])) --from_;
    return removed({from_, p.before});
  }
  void keep() { kept_ = true; }

  // No more pairs: what the run at the end removes. Only while running().
  Range end() { return removed({from_, value_.end}); }

  // All pairs have been fed: would nothing be left?
  bool empties() const { return running_ ? !kept_ || leads() : gone_ == value_.size(); }

 private:
  // Is everything before the run gone?
  bool leads() const { return from_ - value_.begin == gone_; }
  Range removed(Range r) {
    gone_ += r.size();
    removed_until_ = r.end;
    return r;
  }

  const Bytes head_;
  const Range value_;
  uint32_t from_ = 0;
  uint32_t gone_ = 0;
  uint32_t removed_until_;
  bool running_ = false;
  bool kept_ = false;
};

}  // namespace limpet::http
