// One entry of type "cookie". Refused beside what cannot be read: what HAProxy 2.6 refuses or warns
// of, what it takes and then ignores, and what browsers are known to throw away; for each of them
// persistence would quietly not work.
#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "limpet/base/units.h"
#include "service.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

constexpr Duration kLongest = 24h * 365;

bool starts_with_nocase(std::string_view text, std::string_view start) {
  return text.size() >= start.size() &&
         std::equal(start.begin(), start.end(), text.begin(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) ==
                  std::tolower(static_cast<unsigned char>(b));
         });
}

// A host name as a cookie's Domain may be: labels of letters, digits, '-' and '_'.
bool is_domain(std::string_view text) {
  constexpr size_t kLongestName = 253, kLongestLabel = 63;
  if (!text.empty() && text.front() == '.') text.remove_prefix(1);
  if (text.empty() || text.size() > kLongestName) return false;
  size_t label = 0;
  for (const char c : text) {
    const bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_';
    if (!word && (c != '.' || label == 0)) return false;
    label = word ? label + 1 : 0;
    if (label > kLongestLabel) return false;
  }
  return label != 0;
}

uint64_t seconds(Duration d) {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(d).count());
}

class CookieReading {
 public:
  CookieReading(const Node& node, CookieSettings& cookie, Report& report)
      : node_(node), cookie_(cookie), report_(report) {}

  void run() {
    check_names(node_,
                {{"type", "mode", "name", "session_name", "value", "lifetime", "idle_timeout",
                  "absolute_timeout", "indirect", "no_cache", "preserve", "post_only", "path",
                  "domain", "http_only", "secure", "same_site", "attributes"},
                 {}},
                report_);
    cookie_.indirect = cookie_.no_cache = cookie_.http_only = true;
    read_mode();
    read_name();
    read_value();
    if (cookie_.mode == CookieMode::insert) {
      read_times();
      read_attributes();
      check_prefix();
      check_length();
    } else {
      check_meaning();
      switch_off();
    }
  }

 private:
  void read_mode() {
    const Node* mode = node_.find("mode");
    if (mode == nullptr) return;
    constexpr CookieMode kModes[] = {CookieMode::insert, CookieMode::rewrite, CookieMode::prefix,
                                     CookieMode::learn};
    if (const auto word = read_word(*mode, {"insert", "rewrite", "prefix", "learn"}, {}, report_))
      cookie_.mode = kModes[*word];
  }

  void read_name() {
    constexpr std::string_view kExpected =
        "a cookie name of 1 to 64 letters, digits and !#$%&'*+-.^_`|~, with no '$' in front";
    const Node* name = carrier_node(node_, "the name of the cookie", report_);
    if (name == nullptr) return;
    const auto text = read_string(*name, kExpected, report_);
    if (!text) return;
    // HAProxy and limpet pass over cookies with '$' in front: attributes of RFC 2965.
    if (text->size() > affinity::kMaxCookieName || !is_token(*text) || text->front() == '$')
      report_.add(*name,
                  fmt::format("{} is no usable cookie name; expected {}", quote(*text), kExpected));
    else
      cookie_.name = *text;
  }

  void read_value() {
    const Node* value = node_.find("value");
    if (value == nullptr) {
      unit_ = 1min;
      return;
    }
    const auto word = read_word(*value, {"sealed", "plain"}, {}, report_);
    if (cookie_.mode == CookieMode::learn)
      report_.add(*value,
                  "has no meaning with mode \"learn\", where the application sets the cookie; "
                  "expected it to be left out");
    if (!word) return;
    cookie_.sealed = *word == 0;
    if (cookie_.sealed) unit_ = 1min;
  }

  // Settings of a cookie that limpet sets, in a mode in which somebody else sets it.
  void check_meaning() {
    const bool learn = cookie_.mode == CookieMode::learn;
    for (const OfInsert& setting : kOfInsert) {
      const Node* node = node_.find(setting.name);
      if (node == nullptr || is_off(*node, setting.off)) continue;
      report_.add(*node,
                  fmt::format("has no meaning with mode \"{}\", where the {} sets the cookie; "
                              "expected mode \"insert\", or it to be left out",
                              affinity::name(cookie_.mode), learn ? "application" : "backend"));
    }
  }

  // How a setting says that there is nothing of it, which is true in every mode.
  enum Off : unsigned { kNever = 0, kFalse = 1, kNoText = 2, kNoList = 4, kZero = 8 };
  struct OfInsert {
    std::string_view name;
    unsigned off;
  };
  static constexpr OfInsert kOfInsert[] = {
      {"lifetime", kNever},   {"idle_timeout", kZero}, {"absolute_timeout", kZero},
      {"indirect", kFalse},   {"no_cache", kFalse},    {"preserve", kFalse},
      {"post_only", kFalse},  {"path", kNever},        {"domain", kNoText | kNoList},
      {"http_only", kFalse},  {"secure", kFalse},      {"same_site", kNoText},
      {"attributes", kNoList}};
  static bool is_off(const Node& node, unsigned off) {
    return ((off & kFalse) != 0 && node.kind == Kind::boolean && !node.boolean) ||
           ((off & kNoText) != 0 && node.kind == Kind::string && node.text.empty()) ||
           ((off & kNoList) != 0 && node.is_sequence() && node.children.empty()) ||
           ((off & kZero) != 0 && node.kind == Kind::string &&
            (node.text == "0" || node.text == "0s"));
  }
  void switch_off() {
    cookie_.indirect = cookie_.no_cache = cookie_.http_only = false;
    cookie_.path.clear();
    cookie_.same_site = SameSite::unset;
  }

  Duration read_timeout(std::string_view name) {
    const Node* node = node_.find(name);
    if (node == nullptr) return Duration(0);
    const auto d = read_duration(*node, Duration(0), kLongest, report_);
    if (!d || *d % unit_ == Duration(0)) return d.value_or(Duration(0));
    const bool sealed = cookie_.sealed;
    report_.add(*node,
                fmt::format("{} cannot be told by a {} value; expected \"0s\" (off) or whole "
                            "{} up to \"365d\"",
                            quote(node->text), sealed ? "sealed" : "plain",
                            sealed ? "minutes" : "seconds"));
    return Duration(0);
  }

  void read_times() {
    const size_t before = report_.count();
    const Duration idle = read_timeout("idle_timeout");
    const Duration absolute = read_timeout("absolute_timeout");
    cookie_.idle_timeout = seconds(idle);
    cookie_.absolute_timeout = seconds(absolute);
    const bool known = report_.count() == before;
    if (absolute != Duration(0) && idle > absolute)
      report_.add(
          member(node_, "idle_timeout"),
          fmt::format("\"{}\" is longer than absolute_timeout \"{}\"; expected at most that",
                      format_duration(idle), format_duration(absolute)));
    const Node* lifetime = node_.find("lifetime");
    if (lifetime == nullptr) return;
    if (read_word(*lifetime, {"session", "permanent"}, {}, report_).value_or(0) == 0) return;
    cookie_.permanent = true;
    if (known && idle == Duration(0) && absolute == Duration(0))
      report_.add(*lifetime,
                  "\"permanent\" without a time; expected absolute_timeout or idle_timeout beside "
                  "it, or \"session\"");
  }

  void read_flag(std::string_view name, bool& flag) {
    if (const Node* node = node_.find(name)) flag = read_boolean(*node, report_).value_or(flag);
  }

  void read_attributes() {
    read_flag("indirect", cookie_.indirect);
    read_flag("no_cache", cookie_.no_cache);
    read_flag("preserve", cookie_.preserve);
    read_flag("post_only", cookie_.post_only);
    read_flag("http_only", cookie_.http_only);
    read_flag("secure", cookie_.secure);
    read_path();
    if (const Node* domain = node_.find("domain")) read_domains(*domain);
    read_same_site();
    if (const Node* attributes = node_.find("attributes")) read_extra(*attributes);
  }

  void read_path() {
    const Node* path = node_.find("path");
    if (path == nullptr) return;
    constexpr std::string_view kExpected = "a path such as \"/\", printable and without ';'";
    const auto text = read_string(*path, kExpected, report_);
    if (!text) return;
    if (text->empty() || text->front() != '/' || !is_printable(*text, ";"))
      report_.add(*path, fmt::format("{} is no path; expected {}", quote(*text), kExpected));
    else
      cookie_.path = *text;
  }

  void read_domain(const Node& node) {
    constexpr std::string_view kExpected = "a domain such as \"example.org\"";
    const auto text = read_string(node, kExpected, report_);
    if (!text) return;
    if (!is_domain(*text))
      report_.add(node, fmt::format("{} is no domain; expected {}", quote(*text), kExpected));
    // RFC 6265, 5.3, step 5: a browser refuses a public suffix, which any single label may be.
    else if (text->find('.', 1) == std::string::npos)
      report_.add(node, fmt::format("{} has no dot inside, and browsers refuse such a cookie; "
                                    "expected {}",
                                    quote(*text), kExpected));
    else
      cookie_.domains.push_back(*text);
  }

  void read_domains(const Node& node) {
    if (node.kind == Kind::string && node.text.empty()) return;
    if (!node.is_sequence()) return read_domain(node);
    if (const auto list = read_sequence(node, "domain", 0, affinity::kMaxCookieDomains, report_))
      for (const Node& domain : *list) read_domain(domain);
  }

  void read_same_site() {
    const Node* node = node_.find("same_site");
    if (node == nullptr) return;
    constexpr SameSite kValues[] = {SameSite::strict, SameSite::lax, SameSite::none,
                                    SameSite::unset};
    const auto word = read_word(*node, {"Strict", "Lax", "None", ""}, {}, report_);
    if (!word) return;
    cookie_.same_site = kValues[*word];
    if (cookie_.same_site == SameSite::none && !cookie_.secure)
      report_.add(*node,
                  "\"None\" without secure, and browsers refuse such a cookie; expected secure = "
                  "true beside it, or \"Lax\"");
  }

  // The setting that stands for an attribute which limpet writes itself.
  static std::string_view setting_for(std::string_view attribute) {
    constexpr std::pair<std::string_view, std::string_view> kOwn[] = {
        {"path", "path"},       {"domain", "domain"},      {"httponly", "http_only"},
        {"secure", "secure"},   {"samesite", "same_site"}, {"expires", "lifetime"},
        {"max-age", "lifetime"}};
    for (const auto& [name, setting] : kOwn) {
      if (!starts_with_nocase(attribute, name)) continue;
      const std::string_view rest = attribute.substr(name.size());
      const size_t next = rest.find_first_not_of(' ');
      if (next == std::string_view::npos || rest[next] == '=') return setting;
    }
    return {};
  }

  void read_extra(const Node& node) {
    constexpr size_t kLongestAttribute = 128;
    constexpr std::string_view kExpected =
        "an attribute of 1 to 128 printable characters without ';', such as \"Partitioned\"";
    const auto list = read_sequence(node, "attribute", 0, affinity::kMaxCookieAttributes, report_);
    if (!list) return;
    for (const Node& attribute : *list) {
      const auto text = read_string(attribute, kExpected, report_);
      if (!text) continue;
      if (text->empty() || text->size() > kLongestAttribute || !is_printable(*text, ";") ||
          text->front() == ' ' || text->back() == ' ')
        report_.add(attribute,
                    fmt::format("{} is no attribute; expected {}", quote(*text), kExpected));
      else if (const std::string_view setting = setting_for(*text); !setting.empty())
        report_.add(attribute,
                    fmt::format("{} has a setting of its own; expected {}", quote(*text), setting));
      else
        cookie_.attributes.push_back(*text);
    }
  }

  // What browsers demand of two prefixes of names, whatever their case (RFC 6265bis, 4.1.3).
  void check_prefix() {
    const Node& at = carrier_node(node_);
    const bool host = starts_with_nocase(cookie_.name, "__Host-");
    if (!host && !starts_with_nocase(cookie_.name, "__Secure-")) return;
    if (host && (!cookie_.domains.empty() || cookie_.path != "/"))
      report_.add(at,
                  fmt::format("{} with a domain or another path than \"/\", and browsers refuse "
                              "such a cookie; expected path \"/\" and no domain beside it",
                              quote(cookie_.name)));
    if (!cookie_.secure)
      report_.add(at, fmt::format("{} without secure, and browsers refuse such a cookie; expected "
                                  "secure = true beside it",
                                  quote(cookie_.name)));
  }

  // As they stand in Set-Cookie: a limit on what goes into one response.
  void check_length() {
    size_t length = std::string_view("; path=").size() + cookie_.path.size();
    for (const std::string& domain : cookie_.domains)
      length += std::string_view("; domain=").size() + domain.size();
    if (cookie_.http_only) length += std::string_view("; HttpOnly").size();
    if (cookie_.secure) length += std::string_view("; Secure").size();
    if (cookie_.same_site != SameSite::unset)
      length += std::string_view("; SameSite=").size() +
                std::string_view(affinity::attribute(cookie_.same_site)).size();
    for (const std::string& attribute : cookie_.attributes) length += 2 + attribute.size();
    if (length > affinity::kMaxAttributeText)
      report_.add(node_, fmt::format("path, domain and attributes come to {} bytes in Set-Cookie; "
                                     "expected at most {}",
                                     length, affinity::kMaxAttributeText));
  }

  const Node& node_;
  CookieSettings& cookie_;
  Report& report_;
  Duration unit_ = 1s;  // in which the value tells times
};

}  // namespace

void read_cookie(const Node& entry, CookieSettings& cookie, Report& report) {
  CookieReading(entry, cookie, report).run();
}

}  // namespace limpet::config
