// The persistence list of a service: what entries it may have, in which order.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <utility>

#include "service.h"

namespace limpet::config {
namespace {

bool is_source(const Persistence& p) {
  return std::holds_alternative<SourceSettings>(p);
}

bool same_word(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    return std::tolower(static_cast<unsigned char>(x)) ==
           std::tolower(static_cast<unsigned char>(y));
  });
}

class ListReading {
 public:
  explicit ListReading(ServiceReading& reading)
      : reading_(reading), service_(reading.service), report_(reading.report) {}

  void entry(const Node& node) {
    if (!is_group(node, report_)) return;
    const Node* type = require(node, "type", "\"source\", \"cookie\" or \"header\"", report_);
    if (type == nullptr) return;
    const auto word =
        read_word(*type, {"source", "cookie", "header"}, {"parameter", "token"}, report_);
    if (word == 0u) source(node);
    if (word == 1u) cookie(node, *type);
    if (word == 2u) header(node, *type);
  }

 private:
  // Names of the entries of one type that were there already.
  struct Seen {
    std::string name;
    const Node* node;
  };

  void source(const Node& node) {
    check_names(node, {{"type", "prefix4", "prefix6"}, {"lookup"}}, report_);
    SourceSettings entry;
    if (const Node* prefix = node.find("prefix4"))
      entry.prefix4 = static_cast<uint8_t>(read_integer(*prefix, 1, 32, report_).value_or(32));
    if (const Node* prefix = node.find("prefix6"))
      entry.prefix6 = static_cast<uint8_t>(read_integer(*prefix, 1, 128, report_).value_or(64));
    if (has_source())
      report_.add(node,
                  "second entry of type \"source\"; expected one, as every client has a source");
    else
      service_.persistence.emplace_back(entry);
  }

  void cookie(const Node& node, const Node& type) {
    check_place(node, type, "cookie");
    CookieSettings entry;
    entry.service = service_.name;
    read_cookie(node, entry, report_);
    check_first(node, entry.name, cookies_, affinity::kMaxCookies, "cookie",
                [](std::string_view a, std::string_view b) { return a == b; });
    service_.persistence.emplace_back(std::move(entry));
  }

  void header(const Node& node, const Node& type) {
    constexpr std::string_view kExpected =
        "a header name of 1 to 64 letters, digits and !#$%&'*+-.^_`|~";
    check_place(node, type, "header");
    check_names(node, {{"type", "name", "lookup"}, {"mode"}}, report_);
    HeaderSettings entry;
    if (const Node* name = require(node, "name", "the name of the header", report_))
      if (const auto text = read_string(*name, kExpected, report_)) {
        if (text->size() > affinity::kMaxHeaderName || !is_token(*text))
          report_.add(*name,
                      fmt::format("{} is no header name; expected {}", quote(*text), kExpected));
        else
          entry.name = *text;
      }
    if (const Node* lookup = node.find("lookup")) read_word(*lookup, {"hash"}, {"table"}, report_);
    check_first(node, entry.name, headers_, affinity::kMaxHeaders, "header", same_word);
    service_.persistence.emplace_back(std::move(entry));
  }

  void check_place(const Node& node, const Node& type, std::string_view kind) {
    if (reading_.is_nat())
      report_.add(type, fmt::format("\"{}\" has no meaning with mode \"nat\", which does not read "
                                    "requests; expected mode = \"splice\" in this service",
                                    kind));
    if (has_source())
      report_.add(node,
                  "behind an entry of type \"source\", which settles every client; expected it in "
                  "front of that");
  }

  template <class Same>
  void check_first(const Node& node, const std::string& name, std::vector<Seen>& seen, size_t most,
                   std::string_view kind, Same same_name) {
    const auto same = std::find_if(seen.begin(), seen.end(), [&](const Seen& other) {
      return !name.empty() && same_name(other.name, name);
    });
    if (same != seen.end())
      report_.add(carrier_node(node),
                  fmt::format("\"{}\" is already the {} of {}; expected each {} once", name, kind,
                              same->node->path, kind));
    if (seen.size() == most)
      report_.add(node, fmt::format("more than {} entries of type \"{}\"; expected at most {}",
                                    most, kind, most));
    seen.push_back({name, &node});
  }

  bool has_source() const {
    return std::any_of(service_.persistence.begin(), service_.persistence.end(), is_source);
  }

  ServiceReading& reading_;
  Service& service_;
  Report& report_;
  std::vector<Seen> cookies_, headers_;
};

}  // namespace

const Node& carrier_node(const Node& entry) {
  const Node* name = entry.find("name");
  return name != nullptr ? *name : member(entry, "session_name");
}

const Node* carrier_node(const Node& entry, std::string_view expected, Report& report) {
  const Node* name = entry.find("name");
  const Node* session = entry.find("session_name");
  if (name == nullptr && session == nullptr) return require(entry, "name", expected, report);
  if (name != nullptr && session != nullptr)
    report.add(*session, "means the same as name, which is there too; expected one of them");
  return name != nullptr ? name : session;
}

void read_persistence(ServiceReading& reading) {
  const Node* node = reading.node.find("persistence");
  if (node == nullptr) return;
  ListReading list(reading);
  if (const auto entries =
          read_sequence(*node, "persistence entry", 0, affinity::kMaxEntries, reading.report))
    for (const Node& entry : *entries) list.entry(entry);
}

}  // namespace limpet::config
