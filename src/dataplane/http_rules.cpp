#include "limpet/dataplane/http_rules.h"

#include <utility>
#include <variant>

namespace limpet::dataplane {

Result<HttpRules> compile_rules(RuleSettings settings, uint32_t number) {
  HttpRules rules;
  rules.number = number;
  http::SnifferSpec request, response;
  bool after_source = false;
  uint8_t entry = 0;
  for (const affinity::EntrySettings& e : settings.entries) {
    const auto cookies = static_cast<uint8_t>(rules.cookies.size());
    const auto headers = static_cast<uint8_t>(rules.headers.size());
    std::visit(
        affinity::Visit{
            [&](const affinity::SourceSettings&) { after_source = true; },
            [&](const affinity::CookieSettings& c) {
              auto policy = affinity::CookiePolicy::compile(c);
              request.names.push_back({http::Look::cookie, c.name, cookies,
                                       policy.strips_requests(),
                                       c.mode == affinity::CookieMode::learn});
              response.names.push_back({http::Look::set_cookie, c.name, cookies, false});
              rules.cookies.push_back({std::move(policy), entry, headers, after_source});
            },
            [&](const affinity::HeaderSettings& h) {
              request.names.push_back(
                  {.look = http::Look::header, .name = h.name, .id = headers, .first = true});
              rules.headers.push_back({entry, cookies, after_source});
            }},
        e);
    ++entry;
  }
  if (!request.names.empty()) {
    Result<http::Sniffer> requests = http::Sniffer::compile(request);
    if (!requests) return Error{requests.error()};
    rules.request = std::move(*requests);
  }
  if (!response.names.empty()) {
    response.names.push_back({http::Look::header, "Cache-Control",
                              static_cast<uint16_t>(ResponseHeader::cache_control), false});
    response.names.push_back(
        {http::Look::header, "Expires", static_cast<uint16_t>(ResponseHeader::expires), false});
    Result<http::Sniffer> responses = http::Sniffer::compile(response);
    if (!responses) return Error{responses.error()};
    rules.response = std::move(*responses);
  }
  rules.settings = std::move(settings);
  return rules;
}

}  // namespace limpet::dataplane
