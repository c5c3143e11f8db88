// What sealed cookies need of the whole configuration: their key file. (The keys themselves are
// read by control; here is no secret.)
#include <fmt/core.h>

#include <algorithm>
#include <set>

#include "limpet/affinity/backend_ids.h"
#include "validate.h"

namespace limpet::config {
namespace {

constexpr std::string_view kDefaultFile = "/etc/limpet/cookie.keys";

std::string read_cookie_keys(const Node& node, Report& report) {
  constexpr size_t kLongestPath = 4095;  // PATH_MAX without its NUL
  constexpr std::string_view kExpected = "the absolute path of a file";
  std::string file(kDefaultFile);
  if (!is_group(node, report)) return file;
  check_names(node, {{"file"}, {}}, report);
  const Node* path = node.find("file");
  if (path == nullptr) return file;
  const auto text = read_string(*path, kExpected, report);
  if (!text) return file;
  if (text->size() > kLongestPath || text->empty() || text->front() != '/' || text->back() == '/' ||
      !is_printable(*text))
    report.add(*path, fmt::format("{} is no usable path; expected {} such as \"{}\"", quote(*text),
                                  kExpected, kDefaultFile));
  else
    file = *text;
  return file;
}

bool seals(const Persistence& p) {
  const auto* cookie = std::get_if<CookieSettings>(&p);
  return cookie != nullptr && cookie->mode != CookieMode::learn && cookie->sealed;
}

bool seals(const Service& service) {
  return std::any_of(service.persistence.begin(), service.persistence.end(),
                     [](const Persistence& p) { return seals(p); });
}

// Sealed cookies and stick entries carry an id of 24 bits instead of a backend's name.
void check_ids(const Draft& draft, uint32_t index) {
  std::vector<std::string> names;
  for (const Backend& b : draft.document.pools[index].backends)
    if (!b.name.empty()) names.push_back(b.name);
  const auto same = affinity::find_id_collision(names);
  if (!same) return;
  draft.report.add(member(element(draft.root, "pools", index), "backends"),
                   fmt::format("\"{}\" and \"{}\" have the same id in cookies and tables; expected "
                               "one of them under another name",
                               names[same->first], names[same->second]));
}

}  // namespace

void check_sealing(Draft& draft) {
  std::string file(kDefaultFile);
  Place place{draft.document.file, 0};
  if (const Node* keys = draft.root.find("cookie_keys")) {
    file = read_cookie_keys(*keys, draft.report);
    const Node* at = keys->find("file") != nullptr ? keys->find("file") : keys;
    place = {at->file, at->line};
  }
  std::set<uint32_t> pools;  // one report a pool
  for (const Service& service : draft.document.services) {
    if (seals(service)) {
      draft.document.cookie_keys_file = file;
      draft.document.cookie_keys_place = place;
    }
    if ((seals(service) || service.table.size != 0) && service.pool != kNoPool &&
        pools.insert(service.pool).second)
      check_ids(draft, service.pool);
  }
}

}  // namespace limpet::config
