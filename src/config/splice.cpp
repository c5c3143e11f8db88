// What only a service with mode "splice" has: how it treats requests, what it says when nobody is
// left, and for which protocols it cannot stand.
#include <fmt/core.h>

#include <algorithm>

#include "service.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

// A value other than the one that mode "nat" has anyway.
void refuse_in_nat(const ServiceReading& reading, const Node& node, std::string_view neutral) {
  if (reading.is_nat())
    reading.report.add(node,
                       fmt::format("{} has no meaning with mode \"nat\"; expected {}, or mode "
                                   "\"splice\"",
                                   describe(node), neutral));
}

void read_limits(const Node& node, HeadLimits& limits, Report& report) {
  check_names(node, {{"head_bytes", "head_time"}, {}}, report);
  if (const Node* bytes = node.find("head_bytes"))
    if (const auto n = read_size(*bytes, 1024, kMaxHeadBytes, report))
      limits.bytes = static_cast<uint32_t>(*n);
  if (const Node* time = node.find("head_time"))
    limits.time = read_duration(*time, 100ms, 10min, report).value_or(limits.time);
}

// type/subtype, perhaps with parameters (RFC 9110, 8.3.1).
bool is_content_type(std::string_view text) {
  constexpr size_t kLongest = 128;
  const std::string_view type = text.substr(0, text.find(';'));
  const size_t slash = type.find('/');
  return text.size() <= kLongest && slash != std::string_view::npos &&
         is_token(type.substr(0, slash)) && is_token(type.substr(slash + 1)) && is_printable(text);
}

void read_unavailable(const Node& node, Unavailable& out, Report& report) {
  check_names(node, {{"body", "content_type", "retry_after"}, {}}, report);
  if (const Node* body = node.find("body"))
    if (const auto text = read_string(*body, "the text that clients get", report)) {
      if (text->size() <= kMaxUnavailableBody)
        out.body = *text;
      else
        report.add(*body, fmt::format("has {} bytes; expected at most {}", text->size(),
                                      kMaxUnavailableBody));
    }
  if (const Node* type = node.find("content_type"))
    if (const auto text = read_string(*type, "a content type such as \"text/html\"", report)) {
      if (is_content_type(*text))
        out.content_type = *text;
      else
        report.add(*type,
                   fmt::format("{} is no content type; expected up to 128 characters such as "
                               "\"text/html\"",
                               quote(*text)));
    }
  if (const Node* retry = node.find("retry_after"))
    if (const auto d = read_duration(*retry, Duration(0), 24h, report)) {
      if (*d % Duration(1s) == Duration(0))
        out.retry_after = *d;
      else  // RFC 9110, 10.2.3: delay-seconds
        report.add(*retry, fmt::format("{} is a fraction of a second; expected \"0s\" (no "
                                       "Retry-After) or whole seconds up to \"1d\"",
                                       quote(retry->text)));
    }
}

// A group that only mode "splice" has.
template <class Settings, class Read>
void read_group(const ServiceReading& reading, std::string_view name, Settings& out, Read read) {
  const Node* node = reading.node.find(name);
  if (node == nullptr || !is_group(*node, reading.report)) return;
  if (reading.is_nat())
    reading.report.add(*node, "has no meaning with mode \"nat\"; expected mode \"splice\"");
  read(*node, out, reading.report);
}

void read_no_backend(ServiceReading& reading) {
  Service& service = reading.service;
  service.on_no_backend =
      service.mode == Forwarding::splice ? OnNoBackend::unavailable : OnNoBackend::reset;
  if (const Node* policy = reading.node.find("on_no_backend"))
    if (const auto word = read_word(*policy, {"503", "reset"}, {}, reading.report)) {
      if (*word == 0) refuse_in_nat(reading, *policy, "\"reset\"");
      service.on_no_backend = *word == 0 ? OnNoBackend::unavailable : OnNoBackend::reset;
    }
  read_group(reading, "unavailable", service.unavailable, read_unavailable);
  const Node* unavailable = reading.node.find("unavailable");
  if (unavailable != nullptr && service.mode == Forwarding::splice && reading.mode_known &&
      service.on_no_backend == OnNoBackend::reset)
    reading.report.add(*unavailable,
                       "has no meaning with on_no_backend \"reset\"; expected on_no_backend "
                       "\"503\"");
}

struct ServerFirst {
  uint16_t first, last;
  std::string_view protocol;
};
// Protocols in which the client says nothing until it has read a greeting. Registered at IANA, but
// for 5901 to 5903 (displays of VNC) and 6600.
constexpr ServerFirst kServerFirst[] = {{13, 13, "daytime"},
                                        {17, 17, "quote of the day"},
                                        {19, 19, "chargen"},
                                        {21, 21, "FTP"},
                                        {22, 22, "SSH"},
                                        {23, 23, "telnet"},
                                        {25, 25, "SMTP"},
                                        {37, 37, "time"},
                                        {109, 109, "POP2"},
                                        {110, 110, "POP3"},
                                        {119, 119, "NNTP"},
                                        {143, 143, "IMAP"},
                                        {220, 220, "IMAP3"},
                                        {587, 587, "SMTP submission"},
                                        {2628, 2628, "DICT"},
                                        {3306, 3306, "MySQL"},
                                        {4190, 4190, "ManageSieve"},
                                        {5900, 5903, "VNC"},
                                        {6600, 6600, "MPD"}};

std::string_view server_first(uint16_t port) {
  for (const ServerFirst& entry : kServerFirst)
    if (port >= entry.first && port <= entry.last) return entry.protocol;
  return {};
}

constexpr std::string_view kWaits =
    "where the server speaks first and mode \"splice\" would wait for the client; expected mode "
    "\"nat\", or application = \"http\" if that is what is spoken there";

}  // namespace

void read_splice(ServiceReading& reading) {
  Service& service = reading.service;
  Report& report = reading.report;
  read_no_backend(reading);
  read_group(reading, "limits", service.limits, read_limits);
  if (const Node* forwarded = reading.node.find("forwarded"))
    if (const auto word = read_word(*forwarded, {"none", "x-forwarded-for", "proxy-v1", "proxy-v2"},
                                    {}, report)) {
      constexpr Forwarded kValues[] = {Forwarded::none, Forwarded::x_forwarded_for,
                                       Forwarded::proxy_v1, Forwarded::proxy_v2};
      service.forwarded = kValues[*word];
      if (*word != 0) refuse_in_nat(reading, *forwarded, "\"none\"");
    }
  if (const Node* redispatch = reading.node.find("redispatch")) {
    service.redispatch = read_boolean(*redispatch, report).value_or(true);
    if (!service.redispatch) refuse_in_nat(reading, *redispatch, "true");
  }
  if (const Node* retries = reading.node.find("retries")) {
    constexpr int64_t kMost = 60;
    if (const auto n = read_integer(*retries, 0, kMost, report)) {
      service.retries = static_cast<uint32_t>(*n);
      refuse_in_nat(reading, *retries, "it to be left out");
    }
  }
  if (const Node* log = reading.node.find("session_log")) {
    service.session_log = read_boolean(*log, report).value_or(false);
    if (service.session_log) refuse_in_nat(reading, *log, "false");
  }
  if (const Node* application = reading.node.find("application")) {
    if (read_word(*application, {"http"}, {}, report))
      refuse_in_nat(reading, *application, "it to be left out");
  }
}

void check_server_first(ServiceReading& reading, const Draft& draft) {
  const Service& service = reading.service;
  if (!reading.mode_known || service.mode != Forwarding::splice ||
      service.protocol == Protocol::udp || reading.node.find("application") != nullptr)
    return;
  if (const std::string_view protocol = server_first(service.port); !protocol.empty()) {
    reading.report.add(member(reading.node, "port"),
                       fmt::format("{} is the port of {}, {}", service.port, protocol, kWaits));
    return;
  }
  if (service.pool == kNoPool) return;
  for (const Backend& backend : draft.document.pools[service.pool].backends)
    if (const std::string_view protocol = server_first(backend.port); !protocol.empty()) {
      reading.report.add(member(reading.node, "pool"),
                         fmt::format("backend {} has port {}, that of {}, {}",
                                     backend.name.empty() ? "without a name" : quote(backend.name),
                                     backend.port, protocol, kWaits));
      return;
    }
}

}  // namespace limpet::config
