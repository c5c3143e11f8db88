#include "host.h"

#include <optional>

#include "chars.h"

namespace limpet::http {
namespace {

struct Authority {
  std::string_view host;
  std::optional<std::string_view> port;  // digits; empty for "host:"
};

Authority split(std::string_view s) {
  size_t at = s.size();
  while (at > 0 && is_digit(static_cast<uint8_t>(s[at - 1]))) --at;
  if (at == 0 || s[at - 1] != ':') return {s, std::nullopt};
  return {s.substr(0, at - 1), s.substr(at)};
}

// "http://" of an absolute target, else empty (RFC 3986, 3.1).
std::string_view scheme_of(std::string_view target) {
  const size_t colon = target.find("://");
  if (colon == std::string_view::npos || colon == 0) return {};
  for (size_t i = 0; i < colon; ++i) {
    const uint8_t c = lower(static_cast<uint8_t>(target[i]));
    const bool letter = c >= 'a' && c <= 'z';
    if (!letter && (i == 0 || !(is_digit(c) || c == '+' || c == '-' || c == '.'))) return {};
  }
  return target.substr(0, colon + 3);
}

// RFC 3986, 3.2: it ends at the path or the query.
std::string_view authority_of(std::string_view behind_scheme) {
  return behind_scheme.substr(0, behind_scheme.find_first_of("/?"));
}

bool is_default(std::string_view port, std::string_view scheme) {
  if (port.empty()) return true;
  if (scheme.empty()) return port == "80" || port == "443";
  return (port == "80" && is_word(scheme, "http://")) ||
         (port == "443" && is_word(scheme, "https://"));
}

Refusal check_connect(std::string_view target, const std::string_view* host) {
  const Authority to = split(target);
  if (!is_host_text(target) || to.host.empty() || to.port.value_or("").empty())
    return Refusal::authority_bad;
  if (host == nullptr || host->empty()) return Refusal::none;
  const Authority named = split(*host);
  const bool same_port =
      named.port.value_or("").empty() ? is_default(*to.port, {}) : *named.port == *to.port;
  return same_port && same_ignoring_case(named.host, to.host) ? Refusal::none
                                                              : Refusal::host_mismatch;
}

}  // namespace

bool is_host_text(std::string_view s) {
  for (const char character : s) {
    const auto c = static_cast<uint8_t>(character);
    if (c <= ' ' || c == 127 || std::string_view("/\\?#@,\"<>").find(character) != s.npos)
      return false;
  }
  return true;
}

Refusal check_host(Method method, std::string_view target, const std::string_view* host) {
  if (method == Method::connect) return check_connect(target, host);
  if (target.starts_with('/') || target == "*") return Refusal::none;
  const std::string_view scheme = scheme_of(target);
  if (scheme.empty()) return Refusal::target_form;
  const std::string_view authority = authority_of(target.substr(scheme.size()));
  // RFC 9110, 4.2.1 and 4.2.4: no host, or a user, is an error.
  if (authority.empty() || !is_host_text(authority)) return Refusal::authority_bad;
  if (host == nullptr) return Refusal::host_missing;
  if (same_ignoring_case(authority, *host)) return Refusal::none;
  const Authority to = split(authority), named = split(*host);
  const bool defaults = (to.port || named.port) && is_default(to.port.value_or(""), scheme) &&
                        is_default(named.port.value_or(""), scheme);
  return defaults && same_ignoring_case(to.host, named.host) ? Refusal::none
                                                             : Refusal::host_mismatch;
}

}  // namespace limpet::http
