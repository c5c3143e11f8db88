#include "progress.h"

#include <cstring>

namespace limpet::http {
namespace {

enum class State : uint8_t {
  before,     // empty lines before the start line
  before_lf,  // CR of one of them
  method,
  method_blank,
  target,
  target_blank,
  request_version,
  status_version,
  status_blank,
  status,
  reason_blank,
  reason,
  start_line_lf,
  first_line,  // first byte behind the start line: a blank there folds nothing
  name,
  value,
  value_lf,
  line,  // first byte behind a header line
  last_lf,
  complete,
  refused,
};

constexpr bool is_version(uint8_t c) {
  return is_digit(c) || c == '.' || c == '/' || (c >= 'A' && c <= 'Z');
}

constexpr bool is_in_target(uint8_t c) {
  return c > ' ' && c < 127 && c != '#';
}

constexpr uint64_t repeated(uint8_t c) {
  return c * 0x0101010101010101u;
}

template <class Is>
uint32_t skip_while(Bytes bytes, uint32_t at, Is&& is) {
  const uint8_t* const data = bytes.data();
  const auto end = static_cast<uint32_t>(bytes.size());
  while (at < end && is(data[at])) ++at;
  return at;
}

// The next control character but tab, or the end.
uint32_t skip_value(Bytes bytes, uint32_t at) {
  const uint8_t* const data = bytes.data();
  const auto end = static_cast<uint32_t>(bytes.size());
  while (at < end) {
    // Eight at a time while none is below ' ' or DEL: the borrow of a lower byte only sends us to
    // the loop below sooner.
    while (end - at >= 8) {
      uint64_t x;
      std::memcpy(&x, data + at, 8);
      const uint64_t del = x ^ repeated(127);
      if ((((x - repeated(' ')) & ~x) | ((del - repeated(1)) & ~del)) & repeated(0x80)) break;
      at += 8;
    }
    const uint32_t stop = end - at >= 8 ? at + 8 : end;
    for (; at < stop; ++at)
      if (is_control(data[at])) return at;
  }
  return at;
}

class Scan {
 public:
  Scan(HeadProgress& p, Bytes bytes, Side side)
      : p_(p), bytes_(bytes), at_(p.next), state_(static_cast<State>(p.state)), side_(side) {}

  Fed run();

 private:
  State step(uint8_t c);
  State before(uint8_t c);
  State in_method(uint8_t c);
  State request_version_end(uint8_t c);
  State status_version_end();
  State start_line_end(uint8_t c);
  State line_begin(uint8_t c);
  State in_name(uint8_t c);
  State end_of_head();

  State refuse(Refusal why) {
    p_.refusal = why;
    return State::refused;
  }
  Refusal version_refusal(Range version) const;
  bool is_request() const { return side_ == Side::request; }

  HeadProgress& p_;
  const Bytes bytes_;
  uint32_t at_;
  State state_;
  const Side side_;
};

Fed Scan::run() {
  const auto end = static_cast<uint32_t>(bytes_.size());
  while (state_ != State::complete && state_ != State::refused) {
    // Most of a head is names, values and the target: those go by the block.
    if (state_ == State::name)
      at_ = skip_while(bytes_, at_, is_token);
    else if (state_ == State::value)
      at_ = skip_value(bytes_, at_);
    else if (state_ == State::target)
      at_ = skip_while(bytes_, at_, is_in_target);
    if (at_ >= end) break;
    state_ = step(bytes_[at_]);
    if (state_ != State::refused) ++at_;
  }
  p_.next = at_;
  p_.state = static_cast<uint8_t>(state_);
  if (state_ == State::complete) return Fed::complete;
  return state_ == State::refused ? Fed::refused : Fed::need_more;
}

State Scan::step(uint8_t c) {
  switch (state_) {
    case State::before:
      return before(c);
    case State::before_lf:
      return c == '\n' ? State::before : refuse(Refusal::line_end_bad);

    case State::method:
      return in_method(c);
    // RFC 9112, 3: a receiver may take any blanks for one, or find an empty part between them.
    case State::method_blank:
      if (is_blank(c)) return refuse(Refusal::request_line_blank);
      [[fallthrough]];
    case State::target:
      if (is_line_end(c)) return refuse(Refusal::http09);
      if (c == ' ') return State::target_blank;
      if (c == '\t') return refuse(Refusal::request_line_blank);
      return is_in_target(c) ? State::target : refuse(Refusal::target_bad);
    case State::target_blank:
      if (is_blank(c)) return refuse(Refusal::request_line_blank);
      if (is_line_end(c)) return refuse(Refusal::http09);
      p_.bounds.headers = at_;  // until it is known: where the version begins
      [[fallthrough]];
    case State::request_version:
      if (is_version(c)) return State::request_version;
      return request_version_end(c);

    case State::status_version:
      if (is_version(c)) return State::status_version;
      return is_blank(c) ? status_version_end() : refuse(Refusal::version_bad);
    case State::status_blank:
      if (is_blank(c)) return State::status_blank;
      p_.bounds.headers = at_;  // until it is known: where the status begins
      [[fallthrough]];
    case State::status:
      if (is_digit(c)) return State::status;
      if (!is_space(c) || at_ - p_.bounds.headers != 3 || bytes_[p_.bounds.headers] == '0')
        return refuse(Refusal::status_bad);
      return is_blank(c) ? State::reason_blank : start_line_end(c);
    case State::reason_blank:
      if (is_blank(c)) return State::reason_blank;
      [[fallthrough]];
    case State::reason:
      return is_line_end(c) ? start_line_end(c) : State::reason;

    case State::start_line_lf:
      return c == '\n' ? start_line_end(c) : refuse(Refusal::line_end_bad);
    case State::first_line:
      return is_blank(c) ? refuse(Refusal::name_blank) : line_begin(c);
    case State::name:
      return in_name(c);
    case State::value:
      if (c == '\n') return is_request() ? refuse(Refusal::line_feed_bare) : State::line;
      if (c == '\r') return State::value_lf;
      return c == 0 || (is_request() && is_control(c)) ? refuse(Refusal::value_bad) : State::value;
    case State::value_lf:
      return c == '\n' ? State::line : refuse(Refusal::line_end_bad);
    case State::line:
      if (!is_blank(c)) return line_begin(c);
      return is_request() ? refuse(Refusal::line_folded) : State::value;
    case State::last_lf:
      return c == '\n' ? end_of_head() : refuse(Refusal::line_end_bad);
    case State::complete:
    case State::refused:
      break;
  }
  return state_;
}

State Scan::before(uint8_t c) {
  if (c == '\n') {
    p_.bounds.crlf = false;
    return State::before;
  }
  if (c == '\r') return State::before_lf;
  constexpr uint8_t kTlsHandshake = 22;  // RFC 8446, 5.1
  if (c == kTlsHandshake) return refuse(Refusal::tls);
  if (!is_token(c)) return refuse(Refusal::not_http);
  p_.bounds.start_line = at_;
  // A reader of CRLF takes the LF for the method's first octet. Behind the last message, with
  // nothing after it, it does no harm.
  if (is_request()) return p_.bounds.crlf ? State::method : refuse(Refusal::line_feed_bare);
  return is_version(c) ? State::status_version : refuse(Refusal::version_bad);
}

State Scan::in_method(uint8_t c) {
  if (is_token(c)) return State::method;
  if (is_line_end(c)) return refuse(Refusal::http09);
  if (!is_blank(c)) return refuse(Refusal::method_bad);
  // RFC 9113, 3.4: a method that no HTTP/1 server may know.
  const std::string_view method = text_of(bytes_, {p_.bounds.start_line, at_});
  if (method == "PRI") return refuse(Refusal::http2_preface);
  // Who takes it for the one in capitals ends its response elsewhere.
  if ((is_word(method, "head") && method != "HEAD") ||
      (is_word(method, "connect") && method != "CONNECT"))
    return refuse(Refusal::method_case);
  return c == ' ' ? State::method_blank : refuse(Refusal::request_line_blank);
}

// RFC 9112, 2.3: HTTP-version = "HTTP" "/" DIGIT "." DIGIT, in capitals. HTTP/1.2 has no other
// meaning than 1.1, but who only knows that one may not read chunks in it.
Refusal Scan::version_refusal(Range version) const {
  const std::string_view v = text_of(bytes_, version);
  if (v.size() != 8 || v.substr(0, 5) != "HTTP/" || v[6] != '.' ||
      !is_digit(static_cast<uint8_t>(v[5])) || !is_digit(static_cast<uint8_t>(v[7])))
    return Refusal::version_bad;
  if (is_request() ? v[5] == '1' && v[7] <= '1' : v[5] >= '1') return Refusal::none;
  return Refusal::version_unsupported;
}

State Scan::request_version_end(uint8_t c) {
  if (!is_line_end(c)) return refuse(Refusal::version_bad);
  const Refusal why = version_refusal({p_.bounds.headers, at_});
  return why == Refusal::none ? start_line_end(c) : refuse(why);
}

State Scan::status_version_end() {
  const Refusal why = version_refusal({p_.bounds.start_line, at_});
  return why == Refusal::none ? State::status_blank : refuse(why);
}

State Scan::start_line_end(uint8_t c) {
  if (c == '\r') return State::start_line_lf;
  p_.bounds.crlf = state_ == State::start_line_lf;
  if (is_request() && !p_.bounds.crlf) return refuse(Refusal::line_feed_bare);
  p_.bounds.headers = at_ + 1;
  return State::first_line;
}

State Scan::line_begin(uint8_t c) {
  p_.bounds.empty_line = at_;
  if (c == '\n') return is_request() ? refuse(Refusal::line_feed_bare) : end_of_head();
  if (c == '\r') return State::last_lf;
  if (c == ':') return refuse(Refusal::name_empty);
  return in_name(c);
}

State Scan::in_name(uint8_t c) {
  if (c == ':') return State::value;
  if (is_token(c)) return State::name;
  if (is_blank(c)) return refuse(Refusal::name_blank);
  return refuse(is_line_end(c) ? Refusal::colon_missing : Refusal::name_bad);
}

State Scan::end_of_head() {
  p_.bounds.end = at_ + 1;
  return State::complete;
}

}  // namespace

Fed advance(HeadProgress& p, Bytes bytes_so_far, Side side) {
  return Scan(p, bytes_so_far, side).run();
}

}  // namespace limpet::http
