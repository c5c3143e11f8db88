// The stick table of a service, and whether it has one where it needs one.
#include <fmt/core.h>

#include <algorithm>

#include "service.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

constexpr uint32_t kLeastSize = 16;

void read_settings(const Node& node, Table& table, Report& report) {
  check_names(node, {{"size", "expire", "when_full", "store"}, {}}, report);
  table.size = kDefaultTableSize;
  if (const Node* size = node.find("size"))
    if (const auto n = read_integer(*size, kLeastSize, kMaxTableSize, report))
      table.size = static_cast<uint32_t>(*n);
  if (const Node* expire = node.find("expire"))
    table.expire = read_duration(*expire, 1s, 24h * 365, report).value_or(table.expire);
  if (const Node* full = node.find("when_full"))
    if (read_word(*full, {"evict", "refuse"}, {}, report).value_or(0) == 1)
      table.when_full = Table::WhenFull::refuse;
  if (const Node* store = node.find("store"))
    if (const auto name = read_string(*store, "\"local\"", report); name && *name != "local")
      report.add(*store, fmt::format("{} is not supported by this version; expected \"local\"",
                                     quote(*name)));
}

bool learns(const Persistence& p) {
  const auto* cookie = std::get_if<CookieSettings>(&p);
  return cookie != nullptr && cookie->mode == CookieMode::learn;
}

// First pins are of clients that have no cookie yet and that their source tells apart.
bool has_use(const Service& service) {
  bool cookie = false;
  for (const Persistence& p : service.persistence) {
    if (learns(p) || (cookie && std::holds_alternative<SourceSettings>(p))) return true;
    cookie |= std::holds_alternative<CookieSettings>(p);
  }
  return false;
}

// The first entry that learns, in the file.
const Node* learning(const Node& service) {
  const Node* list = service.find("persistence");
  if (list == nullptr) return nullptr;
  for (const Node& entry : list->children)
    if (const Node* mode = entry.find("mode");
        mode != nullptr && mode->kind == Kind::string && mode->text == "learn")
      return mode;
  return nullptr;
}

}  // namespace

void read_table(ServiceReading& reading, bool persistence_known) {
  Report& report = reading.report;
  const Service& service = reading.service;
  const Node* node = reading.node.find("table");
  if (node == nullptr) {
    if (std::any_of(service.persistence.begin(), service.persistence.end(), learns))
      if (const Node* mode = learning(reading.node))
        report.add(*mode,
                   "\"learn\" has nowhere to remember; expected table = { ... } in this service");
    return;
  }
  if (!is_group(*node, report)) return;
  read_settings(*node, reading.service.table, report);
  if (reading.is_nat())
    report.add(*node, "has no meaning with mode \"nat\"; expected mode \"splice\"");
  else if (persistence_known && reading.mode_known && !has_use(service))
    report.add(*node,
               "nothing uses it; expected persistence with a cookie that is learned, or with a "
               "cookie and type \"source\" behind it");
}

void check_tables(Draft& draft) {
  uint64_t entries = 0;
  for (const Service& service : draft.document.services) entries += service.table.size;
  if (entries > kMaxTableEntries)
    draft.report.add(
        member(draft.root, "services"),
        fmt::format("tables of {} entries in all; expected at most {}", entries, kMaxTableEntries));
}

}  // namespace limpet::config
