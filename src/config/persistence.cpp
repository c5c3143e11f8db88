// The persistence list of a service: what entries it may have, in which order.
#include <fmt/core.h>

#include <algorithm>

#include "service.h"

namespace limpet::config {
namespace {

class ListReading {
 public:
  explicit ListReading(ServiceReading& reading)
      : reading_(reading), service_(reading.service), report_(reading.report) {}

  void entry(const Node& node) {
    if (!is_group(node, report_)) return;
    const Node* type = require(node, "type", "\"source\" or \"cookie\"", report_);
    if (type == nullptr) return;
    const auto word =
        read_word(*type, {"source", "cookie"}, {"header", "parameter", "token"}, report_);
    if (word == 0u) source(node);
    if (word == 1u) cookie(node, *type);
  }

 private:
  void source(const Node& node) {
    check_names(node, {{"type", "prefix4", "prefix6"}, {}}, report_);
    Persistence entry;
    if (const Node* prefix = node.find("prefix4"))
      entry.prefix4 = static_cast<uint8_t>(read_integer(*prefix, 1, 32, report_).value_or(32));
    if (const Node* prefix = node.find("prefix6"))
      entry.prefix6 = static_cast<uint8_t>(read_integer(*prefix, 1, 128, report_).value_or(64));
    if (has_source())
      report_.add(node,
                  "second entry of type \"source\"; expected one, as every client has a source");
    else
      service_.persistence.push_back(entry);
  }

  void cookie(const Node& node, const Node& type) {
    if (reading_.is_nat())
      report_.add(type,
                  "\"cookie\" has no meaning with mode \"nat\", which does not read requests; "
                  "expected mode = \"splice\" in this service");
    if (has_source())
      report_.add(node,
                  "behind an entry of type \"source\", which settles every client; expected it in "
                  "front of that");
    Persistence entry;
    entry.type = PersistenceType::cookie;
    read_cookie(node, entry.cookie, report_);
    const auto same = std::find_if(cookies_.begin(), cookies_.end(), [&](const Seen& other) {
      return !entry.cookie.session_name.empty() && other.name == entry.cookie.session_name;
    });
    if (same != cookies_.end())
      report_.add(member(node, "session_name"),
                  fmt::format("\"{}\" is already the cookie of {}; expected each cookie once",
                              same->name, same->node->path));
    if (cookies_.size() == kMaxServiceCookies)
      report_.add(node, fmt::format("more than {} entries of type \"cookie\"; expected at most {}",
                                    kMaxServiceCookies, kMaxServiceCookies));
    cookies_.push_back({entry.cookie.session_name, &node});
    service_.persistence.push_back(std::move(entry));
  }

  bool has_source() const {
    return std::any_of(service_.persistence.begin(), service_.persistence.end(),
                       [](const Persistence& p) { return p.type == PersistenceType::source; });
  }

  struct Seen {
    std::string name;
    const Node* node;
  };
  ServiceReading& reading_;
  Service& service_;
  Report& report_;
  std::vector<Seen> cookies_;
};

}  // namespace

void read_persistence(ServiceReading& reading) {
  constexpr size_t kMaxEntries = 16;
  const Node* node = reading.node.find("persistence");
  if (node == nullptr) return;
  ListReading list(reading);
  if (const auto entries =
          read_sequence(*node, "persistence entry", 0, kMaxEntries, reading.report))
    for (const Node& entry : *entries) list.entry(entry);
}

}  // namespace limpet::config
