// Where Prometheus may ask.
#include <fmt/core.h>

#include <algorithm>
#include <charconv>

#include "validate.h"

namespace limpet::config {
namespace {

constexpr std::string_view kExpected =
    "ADDRESS:PORT such as \"127.0.0.1:9817\" or \"[::1]:9817\", or \"unix:/PATH\"";
constexpr std::string_view kUnix = "unix:";

std::optional<Listen> parse(std::string_view text) {
  Listen l;
  if (text.substr(0, kUnix.size()) == kUnix) {
    l.path = text.substr(kUnix.size());
    if (l.path.size() < 2 || l.path.size() > kMaxSocketPath || l.path.front() != '/' ||
        l.path.back() == '/' || !is_printable(l.path))
      return std::nullopt;
    return l;
  }
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view address = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  const bool brackets = address.size() > 2 && address.front() == '[' && address.back() == ']';
  if (brackets) address = address.substr(1, address.size() - 2);
  const auto parsed = IpAddress::parse(address);
  if (!parsed || parsed->is_v4() == brackets) return std::nullopt;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), l.port);
  if (error != std::errc() || end != port.data() + port.size() || l.port == 0) return std::nullopt;
  l.address = *parsed;
  return l;
}

void read_one(const Node& node, Draft& draft) {
  const auto text = read_string(node, kExpected, draft.report);
  if (!text) return;
  const auto listen = parse(*text);
  std::vector<Listen>& all = draft.document.metrics;
  if (!listen)
    draft.report.add(node,
                     fmt::format("{} is no place to listen; expected {}", quote(*text), kExpected));
  else if (std::find(all.begin(), all.end(), *listen) != all.end())
    draft.report.add(node, fmt::format("{} is there twice; expected each once", quote(*text)));
  else
    all.push_back(*listen);
}

}  // namespace

// Addresses of limpet are not the kernel's: nobody could listen there.
void check_metrics(Draft& draft) {
  const Document& d = draft.document;
  const Node& listen = member(member(draft.root, "metrics"), "listen");
  for (size_t i = 0; i < d.metrics.size(); ++i) {
    const IpAddress& address = d.metrics[i].address;
    if (!d.metrics[i].path.empty()) continue;
    const bool vip = std::any_of(d.services.begin(), d.services.end(),
                                 [&](const Service& s) { return s.vip == address; });
    const bool own = std::any_of(d.ports.begin(), d.ports.end(), [&](const Port& p) {
      return std::any_of(p.addresses.begin(), p.addresses.end(),
                         [&](const Prefix& on_link) { return on_link.address == address; });
    });
    if (vip || own)
      draft.report.add(listen, fmt::format("{} is {} of limpet, which the kernel does not have; "
                                           "expected an address of this host",
                                           d.metrics[i].to_string(), vip ? "a VIP" : "an address"));
  }
}

std::string Listen::to_string() const {
  if (!path.empty()) return std::string(kUnix) + path;
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port)
                         : fmt::format("[{}]:{}", address.to_string(), port);
}

void read_metrics(Draft& draft) {
  const Node* node = draft.root.find("metrics");
  if (node == nullptr || !is_group(*node, draft.report)) return;
  check_names(*node, {{"listen"}, {}}, draft.report);
  const Node* listen = require(*node, "listen", kExpected, draft.report);
  if (listen == nullptr) return;
  if (!listen->is_sequence()) return read_one(*listen, draft);
  if (const auto list = read_sequence(*listen, "address", 1, kMaxListen, draft.report))
    for (const Node& one : *list) read_one(one, draft);
}

}  // namespace limpet::config
