#include "limpet/http/body.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "chars.h"

namespace limpet::http {

enum class BodySkipper::State : uint8_t {
  finished,
  data,        // left_ bytes of Body::length
  endless,     // until_close, tunnel
  size_first,  // first digit of a chunk size
  size,
  size_blank,
  extension,
  size_lf,
  chunk,  // left_ bytes
  chunk_cr,
  chunk_lf,
  trailer,  // first byte of the first trailer line
  trailer_name,
  trailer_value,
  trailer_lf,
  trailer_line,  // first byte behind a trailer line
  last_lf,
};

BodySkipper::BodySkipper(Framing framing, Side side) : strict_(side == Side::request) {
  switch (framing.body) {
    case Body::none:
      break;
    case Body::length:
      left_ = framing.length;
      state_ = left_ > 0 ? State::data : State::finished;
      break;
    case Body::chunked:
      state_ = State::size_first;
      break;
    case Body::until_close:
    case Body::tunnel:
      state_ = State::endless;
      break;
  }
}

bool BodySkipper::finished() const {
  return state_ == State::finished && fault_ == BodyFault::none;
}

uint64_t BodySkipper::blind() const {
  if (failed()) return 0;
  if (state_ == State::endless) return UINT64_MAX;
  return state_ == State::data || state_ == State::chunk ? left_ : 0;
}

void BodySkipper::skip_blind(uint64_t n) {
  if (state_ == State::endless || n == 0) return;
  left_ -= n;
  if (left_ > 0) return;
  state_ = state_ == State::chunk ? State::chunk_cr : State::finished;
}

size_t BodySkipper::skip(std::span<const uint8_t> bytes) {
  size_t at = 0;
  while (at < bytes.size() && !failed() && state_ != State::finished) {
    if (const uint64_t n = std::min<uint64_t>(blind(), bytes.size() - at); n > 0) {
      skip_blind(n);
      at += static_cast<size_t>(n);
      continue;
    }
    at += skip_framing(bytes.subspan(at));
  }
  return at;
}

size_t BodySkipper::skip_framing(std::span<const uint8_t> bytes) {
  size_t at = 0;
  while (at < bytes.size() && !failed() && state_ != State::finished && blind() == 0) {
    const State next = step(bytes[at]);
    if (failed()) break;
    state_ = next;
    ++at;
  }
  return at;
}

BodySkipper::State BodySkipper::fail(BodyFault fault) {
  fault_ = fault;
  return state_;
}

namespace {

// The value of a hexadecimal digit, or 16.
constexpr uint8_t hex(uint8_t c) {
  if (is_digit(c)) return static_cast<uint8_t>(c - '0');
  const uint8_t l = lower(c);
  return l >= 'a' && l <= 'f' ? static_cast<uint8_t>(l - 'a' + 10) : uint8_t{16};
}

constexpr uint8_t kMaxDigits = 16;

// Fields that say whom a request is for, from whom, or where it ends: never in trailers (RFC 9110,
// 6.5.1), but some receivers add trailers to the header lines that we have read.
constexpr std::array<std::string_view, 5> kNotInTrailers = {"host", "cookie", "x-forwarded-for",
                                                            "content-length", "transfer-encoding"};

// Those of `like` that go on with `c` at `at`.
constexpr uint8_t still_like(uint8_t like, uint8_t at, uint8_t c) {
  for (size_t i = 0; i < kNotInTrailers.size(); ++i) {
    const std::string_view name = kNotInTrailers[i];
    if (at >= name.size() || static_cast<uint8_t>(name[at]) != lower(c))
      like &= static_cast<uint8_t>(~(1u << i));
  }
  return like;
}
constexpr bool is_whole(uint8_t like, uint8_t size) {
  for (size_t i = 0; i < kNotInTrailers.size(); ++i)
    if ((like >> i & 1) != 0 && kNotInTrailers[i].size() == size) return true;
  return false;
}

}  // namespace

BodySkipper::State BodySkipper::trailer_name(uint8_t c) {
  like_ = still_like(like_, count_, c);
  if (like_ != 0) ++count_;
  return State::trailer_name;
}

BodySkipper::State BodySkipper::step(uint8_t c) {
  switch (state_) {
    case State::size_first:
      if (hex(c) > 15) return fail(BodyFault::chunk_size_bad);
      left_ = count_ = 0;
      [[fallthrough]];
    case State::size:
      if (const uint8_t digit = hex(c); digit <= 15) {
        // Zeros in front are digits: some count them, and some stop reading there.
        if (strict_ && count_++ == kMaxDigits) return fail(BodyFault::chunk_size_long);
        // As HAProxy: somebody on the way may keep it in a floating-point number.
        constexpr uint64_t kEnd = uint64_t{1} << 52;
        if (left_ >= kEnd / 16) return fail(BodyFault::chunk_too_big);
        left_ = left_ * 16 + digit;
        return State::size;
      }
      [[fallthrough]];
    case State::size_blank:
      if (is_blank(c)) return State::size_blank;
      if (c == ';') return State::extension;
      if (strict_ && state_ == State::size_blank && c == '\r')
        return fail(BodyFault::chunk_size_blank);
      return c == '\r' ? State::size_lf : fail(BodyFault::chunk_line_bad);
    case State::extension:
      if (c == '\r') return State::size_lf;
      // A bare LF ends the line for some and not for others, who then see another body.
      if (c == '\n') return fail(BodyFault::chunk_line_bad);
      if (strict_ && !is_blank(c) && (c < ' ' || c > '~'))
        return fail(BodyFault::chunk_extension_bad);
      return State::extension;
    case State::size_lf:
      if (c != '\n') return fail(BodyFault::chunk_line_bad);
      return left_ > 0 ? State::chunk : State::trailer;
    case State::chunk_cr:
      return c == '\r' ? State::chunk_lf : fail(BodyFault::chunk_end_bad);
    case State::chunk_lf:
      return c == '\n' ? State::size_first : fail(BodyFault::chunk_end_bad);

    case State::trailer_line:
      if (is_blank(c)) return strict_ ? fail(BodyFault::trailer_folded) : State::trailer_value;
      [[fallthrough]];
    case State::trailer:
      if (c == '\r') return State::last_lf;
      if (c == '\n') return strict_ ? fail(BodyFault::trailer_line_feed) : State::finished;
      count_ = 0;
      like_ = strict_ ? (1u << kNotInTrailers.size()) - 1 : 0;
      return is_token(c) ? trailer_name(c) : fail(BodyFault::trailer_bad);
    case State::trailer_name:
      if (c == ':')
        return is_whole(like_, count_) ? fail(BodyFault::trailer_forbidden) : State::trailer_value;
      return is_token(c) ? trailer_name(c) : fail(BodyFault::trailer_bad);
    case State::trailer_value:
      if (c == '\n') return strict_ ? fail(BodyFault::trailer_line_feed) : State::trailer_line;
      if (c == '\r') return State::trailer_lf;
      return c == 0 || (strict_ && is_control(c)) ? fail(BodyFault::trailer_bad)
                                                  : State::trailer_value;
    case State::trailer_lf:
      return c == '\n' ? State::trailer_line : fail(BodyFault::trailer_bad);
    case State::last_lf:
      return c == '\n' ? State::finished : fail(BodyFault::trailer_bad);

    case State::finished:
    case State::data:
    case State::endless:
    case State::chunk:
      break;  // skip() takes those by the block
  }
  return state_;
}

}  // namespace limpet::http
