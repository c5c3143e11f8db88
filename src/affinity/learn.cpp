#include "limpet/affinity/learn.h"

#include <algorithm>

#include "limpet/affinity/http_date.h"

namespace limpet::affinity {

namespace {

using balance::Maglev;

std::string_view trim(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is(std::string_view text, std::string_view lower_case) {
  return std::equal(text.begin(), text.end(), lower_case.begin(), lower_case.end(),
                    [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a | 0x20 : a) == b; });
}

// RFC 6265, 5.2.2: an optional '-' and digits, else the attribute does not exist.
std::optional<int64_t> parse_max_age(std::string_view text) {
  const bool negative = !text.empty() && text.front() == '-';
  if (negative) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  int64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = std::min<int64_t>(value * 10 + (c - '0'), int64_t{1} << 40);  // forever is enough
  }
  return negative ? -value : value;
}

}  // namespace

std::optional<SetCookie> parse_set_cookie(std::string_view field) {
  const size_t end = std::min(field.find(';'), field.size());
  const std::string_view pair = field.substr(0, end);
  const size_t equal = pair.find('=');
  if (equal == std::string_view::npos) return std::nullopt;
  SetCookie c;
  c.name = trim(pair.substr(0, equal));
  c.value = trim(pair.substr(equal + 1));
  if (c.name.empty()) return std::nullopt;
  field.remove_prefix(end);
  while (!field.empty()) {
    field.remove_prefix(1);  // the semicolon
    const size_t n = std::min(field.find(';'), field.size());
    const std::string_view attribute = field.substr(0, n);
    field.remove_prefix(n);
    const size_t at = attribute.find('=');
    if (at == std::string_view::npos) continue;
    const std::string_view key = trim(attribute.substr(0, at)),
                           text = trim(attribute.substr(at + 1));
    if (is(key, "max-age")) {
      if (const auto v = parse_max_age(text)) c.max_age = v;
    } else if (is(key, "expires")) {
      if (const auto v = parse_cookie_date(text)) c.expires = v;
    }
  }
  return c;
}

bool deletes(const SetCookie& cookie, uint64_t now) {
  if (cookie.value.empty()) return true;
  if (cookie.max_age) return *cookie.max_age <= 0;  // it wins over Expires: RFC 6265, 5.3
  return cookie.expires && *cookie.expires <= now;
}

uint16_t member_of(const BackendIds& backends, const StickValue& value) {
  if (value.member < backends.size() && backends.id(value.member) == value.backend)
    return value.member;
  const auto found = backends.find(value.backend);
  return found.empty() ? Maglev::kNone : found.front().member;
}

StickValue value_of(const BackendIds& backends, uint16_t member) {
  return {.backend = backends.id(member), .member = member};
}

uint16_t move_learned(const BackendIds& backends, StickTable& table, const LearnedRequest& request,
                      uint16_t member, Instant now, StickHandle& handle) {
  if (!request.known) return member;
  const StickResult r =
      table.update_if(request.key, request.value, value_of(backends, member), now);
  handle = r.handle;
  const uint16_t holds = member_of(backends, r.value);
  return holds == Maglev::kNone ? member : holds;
}

Learned learn_response(const BackendIds& backends, StickTable& table, uint8_t kind,
                       const SetCookie& cookie, uint64_t brought, uint16_t member,
                       uint64_t unix_now, Instant now, StickHandle& handle) {
  if (deletes(cookie, unix_now)) {
    return brought != 0 && table.erase(brought) ? Learned::forgotten : Learned::nothing;
  }
  if (member == Maglev::kNone) return Learned::nothing;
  const StickResult r =
      table.assign(table.key(kind, cookie.value), value_of(backends, member), now);
  if (r.handle.present()) handle = r.handle;
  return r.what == Stick::refused ? Learned::refused : Learned::stored;
}

}  // namespace limpet::affinity
