// Tables of limpetctl.
#include "limpet/console/columns.h"

#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "limpet/base/drop.h"

namespace limpet::console {
namespace {

using Json = nlohmann::json;

// The value at a path of keys, or null: never an exception.
const Json& at(const Json& object, std::initializer_list<const char*> path) {
  static const Json kNull;
  const Json* p = &object;
  for (const char* key : path) {
    if (!p->is_object()) return kNull;
    const auto it = p->find(key);
    if (it == p->end()) return kNull;
    p = &*it;
  }
  return *p;
}

uint64_t number(const Json& v) {
  if (v.is_number_unsigned()) return v.get<uint64_t>();
  if (v.is_number_integer())
    return v.get<int64_t>() < 0 ? 0 : static_cast<uint64_t>(v.get<int64_t>());
  if (v.is_number_float() && v.get<double>() > 0 && v.get<double>() < 1e18)
    return static_cast<uint64_t>(v.get<double>());
  return 0;
}

std::string word(const Json& v) {
  if (v.is_string()) return v.get<std::string>().empty() ? "-" : v.get<std::string>();
  if (v.is_boolean()) return v.get<bool>() ? "yes" : "no";
  if (v.is_number_float()) return fmt::format("{:.2f}", v.get<double>());
  if (v.is_number()) return v.dump();
  return "-";
}

std::string count(const Json& v) {
  return v.is_number() ? human_count(number(v)) : "-";
}
std::string bytes(const Json& v) {
  return v.is_number() ? human_bytes(number(v)) : "-";
}
std::string seconds(const Json& v) {
  return v.is_number() ? human_seconds(v.get<double>()) : "-";
}

std::string endpoint(const Json& address, const Json& port) {
  const std::string a = word(address);
  if (a == "-") return a;  // a flow that has no backend yet
  return a.find(':') != std::string::npos ? fmt::format("[{}]:{}", a, word(port))
                                          : fmt::format("{}:{}", a, word(port));
}

const Json& list(const Json& data, const std::string& what) {
  static const Json kEmpty = Json::array();
  const Json& rows = at(data, {what.c_str()});
  return rows.is_array() ? rows : kEmpty;
}

Table services(const Json& rows) {
  Table t{{"SERVICE", "VIP", "PROTO", "MODE", "POOL", "STATE", "BACKENDS", "ACTIVE", "TOTAL",
           "PKTS IN", "PKTS OUT", "BYTES IN", "BYTES OUT", "NO BACKEND"},
          {}};
  for (const Json& r : rows)
    t.rows.push_back(
        {word(at(r, {"name"})), endpoint(at(r, {"vip"}), at(r, {"port"})),
         word(at(r, {"protocol"})), word(at(r, {"mode"})), word(at(r, {"pool"})),
         word(at(r, {"state"})),
         fmt::format("{}/{}", word(at(r, {"backends_up"})), word(at(r, {"backends_total"}))),
         count(at(r, {"connections_active"})), count(at(r, {"connections_total"})),
         count(at(r, {"packets_in"})), count(at(r, {"packets_out"})), bytes(at(r, {"bytes_in"})),
         bytes(at(r, {"bytes_out"})), count(at(r, {"no_backend_total"}))});
  return t;
}

Table backends(const Json& rows) {
  Table t{{"BACKEND", "ADDRESS", "STATE", "ADMIN", "SINCE", "WEIGHT", "ENTRIES", "ACTIVE", "TOTAL",
           "FAILED", "MOVED", "BYTES IN", "BYTES OUT", "REASON"},
          {}};
  for (const Json& r : rows)
    t.rows.push_back(
        {fmt::format("{}/{}", word(at(r, {"pool"})), word(at(r, {"name"}))),
         endpoint(at(r, {"address"}), at(r, {"port"})), word(at(r, {"state"})),
         word(at(r, {"admin"})), seconds(at(r, {"since_s"})),
         at(r, {"weight"}) == at(r, {"effective_weight"})
             ? word(at(r, {"weight"}))
             : fmt::format("{}/{}", word(at(r, {"effective_weight"})), word(at(r, {"weight"}))),
         word(at(r, {"maglev_entries"})), count(at(r, {"connections_active"})),
         count(at(r, {"connections_total"})), count(at(r, {"connect_failures"})),
         count(at(r, {"redispatched_total"})), bytes(at(r, {"bytes_in"})),
         bytes(at(r, {"bytes_out"})), word(at(r, {"reason"}))});
  return t;
}

Table workers(const Json& rows) {
  Table t{{"WORKER", "LCORE", "POLL", "BUSY", "RX", "HANDED IN", "FORWARDED", "CONSUMED",
           "HANDED OUT", "PUNTED", "DROPPED", "HELD", "ORIGINATED", "TX FAILED", "FLOWS",
           "RING DROPS", "SNAPSHOT", "MBUFS"},
          {}};
  for (const Json& r : rows) {
    const uint64_t total = number(at(r, {"total_cycles"}));
    const uint64_t busy = number(at(r, {"busy_cycles"}));
    t.rows.push_back(
        {word(at(r, {"id"})), word(at(r, {"lcore"})), word(at(r, {"poll"})),
         total == 0 ? "-"
                    : fmt::format("{:.1f}%",
                                  100.0 * static_cast<double>(busy) / static_cast<double>(total)),
         count(at(r, {"rx"})), count(at(r, {"handed_in"})), count(at(r, {"forwarded"})),
         count(at(r, {"consumed"})), count(at(r, {"handed_out"})), count(at(r, {"punted"})),
         count(at(r, {"drops_total"})), count(at(r, {"held", "packets"})),
         count(at(r, {"originated"})), count(at(r, {"tx_failed"})),
         fmt::format("{}/{}", count(at(r, {"flows", "used"})), count(at(r, {"flows", "capacity"}))),
         fmt::format("{}", number(at(r, {"rings", "in_dropped"})) +
                               number(at(r, {"rings", "out_dropped"}))),
         word(at(r, {"snapshot"})),
         fmt::format("{}/{}", count(at(r, {"mbufs", "in_use"})), count(at(r, {"mbufs", "pool"})))});
  }
  return t;
}

Table ports(const Json& rows) {
  Table t{{"PORT", "DEVICE", "MAC", "MTU", "LINK", "RSS", "RX", "TX", "BYTES IN", "BYTES OUT",
           "MISSED", "RX ERRORS", "NO MBUF", "TX ERRORS"},
          {}};
  for (const Json& r : rows)
    t.rows.push_back({word(at(r, {"name"})), word(at(r, {"device"})), word(at(r, {"mac"})),
                      word(at(r, {"mtu"})), word(at(r, {"link"})), word(at(r, {"rss"})),
                      count(at(r, {"rx_packets"})), count(at(r, {"tx_packets"})),
                      bytes(at(r, {"rx_bytes"})), bytes(at(r, {"tx_bytes"})),
                      count(at(r, {"imissed"})), count(at(r, {"ierrors"})),
                      count(at(r, {"rx_nombuf"})), count(at(r, {"oerrors"}))});
  return t;
}

const char* explain_drop(const std::string& reason) {
  for (size_t i = 0; i < kDropCount; ++i)
    if (reason == drop_name(static_cast<Drop>(i))) return drop_text(static_cast<Drop>(i));
  return "-";
}

// Summed over the workers; the daemon's order of reasons is kept.
Table drops(const Json& rows, bool all) {
  struct Row {
    std::string reason, port;
    uint64_t packets = 0, bytes = 0;
  };
  std::vector<Row> sums;
  std::map<std::pair<std::string, std::string>, size_t> index;
  for (const Json& r : rows) {
    const auto key = std::pair(word(at(r, {"reason"})), word(at(r, {"port"})));
    const auto [it, added] = index.emplace(key, sums.size());
    if (added) sums.push_back({key.first, key.second});
    sums[it->second].packets += number(at(r, {"packets"}));
    sums[it->second].bytes += number(at(r, {"bytes"}));
  }
  Table t{{"REASON", "PORT", "PACKETS", "BYTES", "MEANING"}, {}};
  for (const Row& r : sums)
    if (all || r.packets != 0)
      t.rows.push_back(
          {r.reason, r.port, human_count(r.packets), human_bytes(r.bytes), explain_drop(r.reason)});
  return t;
}

Table neighbors(const Json& rows) {
  Table t{{"PORT", "ADDRESS", "MAC", "STATE", "AGE", "WAITING", "WORKER"}, {}};
  for (const Json& r : rows)
    t.rows.push_back({word(at(r, {"port"})), word(at(r, {"address"})), word(at(r, {"mac"})),
                      word(at(r, {"state"})), seconds(at(r, {"age_s"})), count(at(r, {"waiting"})),
                      word(at(r, {"worker"}))});
  return t;
}

Table top(const Json& rows) {
  Table t{{"POOL", "SOURCE", "PLACES", "BYTES", "WORKER"}, {}};
  for (const Json& r : rows)
    t.rows.push_back(
        {word(at(r, {"pool"})), word(at(r, {"source"})), count(at(r, {"places"})),
         at(r, {"bytes"}).is_null() ? std::string("-") : human_bytes(number(at(r, {"bytes"}))),
         word(at(r, {"worker"}))});
  return t;
}

Table flows(const Json& rows) {
  Table t{{"SERVICE", "PROTO", "CLIENT", "SOURCE", "BACKEND", "STATE", "REASON", "AGE", "IDLE",
           "EXPIRES", "WORKER"},
          {}};
  for (const Json& r : rows)
    t.rows.push_back({word(at(r, {"service"})), word(at(r, {"protocol"})),
                      endpoint(at(r, {"client"}), at(r, {"client_port"})),
                      endpoint(at(r, {"source"}), at(r, {"source_port"})),
                      endpoint(at(r, {"backend"}), at(r, {"backend_port"})), word(at(r, {"state"})),
                      word(at(r, {"reason"})), seconds(at(r, {"age_s"})),
                      seconds(at(r, {"idle_s"})), seconds(at(r, {"expires_s"})),
                      word(at(r, {"worker"}))});
  return t;
}

// {"valid": 340, "none": 12} -> "valid 340, none 12", the most frequent first.
std::string counts(const Json& object, bool all) {
  std::vector<std::pair<uint64_t, std::string>> sorted;
  if (object.is_object())
    for (const auto& [key, value] : object.items())
      if (all || number(value) != 0) sorted.emplace_back(number(value), key);
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string out;
  for (const auto& [n, key] : sorted)
    out += fmt::format("{}{} {}", out.empty() ? "" : ", ", key, human_count(n));
  return out.empty() ? "-" : out;
}

Table persistence(const Json& rows, bool all) {
  Table t{{"SERVICE", "ENTRY", "TYPE", "NAME", "MODE", "DECIDED", "MOVED", "RACES", "OTHER",
           "TABLE", "REQUESTS", "RESPONSES", "INVALID"},
          {}};
  for (const Json& r : rows)
    t.rows.push_back({word(at(r, {"service"})), word(at(r, {"entry"})), word(at(r, {"type"})),
                      word(at(r, {"name"})), word(at(r, {"mode"})), count(at(r, {"decided"})),
                      count(at(r, {"redispatched"})), count(at(r, {"first_pin_races"})),
                      count(at(r, {"other_backend_on_keepalive"})),
                      at(r, {"table"}).is_object()
                          ? fmt::format("{}/{}", count(at(r, {"table", "used"})),
                                        count(at(r, {"table", "capacity"})))
                          : "-",
                      counts(at(r, {"request"}), all), counts(at(r, {"response"}), all),
                      counts(at(r, {"invalid_detail"}), all)});
  return t;
}

Table sessions(const Json& rows) {
  Table t{{"SERVICE", "TYPE", "KEY", "BACKEND", "IDLE", "EXPIRES", "CONNECTIONS"}, {}};
  for (const Json& r : rows)
    t.rows.push_back({word(at(r, {"service"})), word(at(r, {"type"})), word(at(r, {"key"})),
                      word(at(r, {"backend"})), seconds(at(r, {"idle_s"})),
                      seconds(at(r, {"expires_s"})), count(at(r, {"connections"}))});
  return t;
}

Table refusals(const Json& rows, bool all) {
  Table t{{"SERVICE", "REASON", "TOTAL", "MEANING"}, {}};
  for (const Json& r : rows)
    if (all || number(at(r, {"total"})) != 0)
      t.rows.push_back({word(at(r, {"service"})), word(at(r, {"reason"})), count(at(r, {"total"})),
                        word(at(r, {"meaning"}))});
  return t;
}

Table keys(const Json& rows) {
  Table t{{"KEY", "STATE", "MEANING"}, {}};
  for (const Json& r : rows) {
    const std::string state = word(at(r, {"state"}));
    t.rows.push_back({word(at(r, {"id"})), state,
                      state == "sealing"  ? "seals new cookies, opens its own"
                      : state == "listed" ? "opens its own cookies, seals none"
                                          : "-"});
  }
  return t;
}

bool numeric(const std::string& cell) {
  return !cell.empty() && (cell[0] >= '0' && cell[0] <= '9') &&
         cell.find(':') == std::string::npos && std::count(cell.begin(), cell.end(), '.') <= 1;
}

}  // namespace

std::string human_count(uint64_t n) {
  if (n < 10000) return fmt::format("{}", n);
  auto v = static_cast<double>(n);
  for (const char* unit : {"k", "M", "G", "T"}) {
    v /= 1000;
    if (v < 9.995) return fmt::format("{:.2f}{}", v, unit);
    if (v < 99.95) return fmt::format("{:.1f}{}", v, unit);
    if (v < 999.5) return fmt::format("{:.0f}{}", v, unit);
  }
  return fmt::format("{:.0f}T", v);
}

std::string human_bytes(uint64_t n) {
  if (n < 1024) return fmt::format("{} B", n);
  auto v = static_cast<double>(n);
  for (const char* unit : {"kB", "MB", "GB", "TB"}) {
    v /= 1024;
    if (v < 1023.95) return fmt::format("{:.1f} {}", v, unit);
  }
  return fmt::format("{:.1f} PB", v / 1024);
}

std::string human_seconds(double s) {
  if (s < 10) return fmt::format("{:.1f}s", std::max(s, 0.0));
  const auto n = static_cast<uint64_t>(std::min(s, 1e15));
  if (n < 60) return fmt::format("{}s", n);
  if (n < 3600) return fmt::format("{}m{:02}s", n / 60, n % 60);
  if (n < 86400) return fmt::format("{}h{:02}m", n / 3600, n / 60 % 60);
  return fmt::format("{}d{:02}h", n / 86400, n / 3600 % 24);
}

std::string Table::to_string() const {
  std::vector<size_t> width(heads.size());
  std::vector<bool> right(heads.size(), !rows.empty());
  for (size_t i = 0; i < heads.size(); ++i) width[i] = heads[i].size();
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size() && i < width.size(); ++i) {
      width[i] = std::max(width[i], row[i].size());
      if (row[i] != "-" && !numeric(row[i])) right[i] = false;
    }
  std::string out;
  const auto line = [&](const std::vector<std::string>& cells) {
    std::string text;
    for (size_t i = 0; i < cells.size() && i < width.size(); ++i) {
      if (i != 0) text += "  ";
      const std::string pad(width[i] - cells[i].size(), ' ');
      text += right[i] ? pad + cells[i] : cells[i] + pad;
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out += text + "\n";
  };
  line(heads);
  for (const auto& row : rows) line(row);
  return out;
}

std::string render(const std::string& what, const Json& data, bool all) {
  const Json& rows = list(data, what);
  Table t;
  if (what == "services")
    t = services(rows);
  else if (what == "backends")
    t = backends(rows);
  else if (what == "workers")
    t = workers(rows);
  else if (what == "ports")
    t = ports(rows);
  else if (what == "drops")
    t = drops(rows, all);
  else if (what == "persistence")
    t = persistence(rows, all);
  else if (what == "sessions")
    t = sessions(rows);
  else if (what == "refusals")
    t = refusals(rows, all);
  else if (what == "neighbors")
    t = neighbors(rows);
  else if (what == "flows")
    t = flows(rows);
  else if (what == "top")
    t = top(rows);
  else if (what == "keys")
    t = keys(rows);
  else
    return data.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
  std::string out = t.to_string();
  if (what == "keys") out += fmt::format("file {}\n", word(at(data, {"file"})));
  if (what == "persistence" && t.rows.empty()) out = "no service has a persistence list\n";
  if (what == "refusals" && t.rows.empty()) out = "nothing was refused\n";
  if (what == "top" && t.rows.empty()) out = "nobody waits for anything\n";
  if (what == "drops" && t.rows.empty()) out = "no frame was dropped\n";
  if (at(data, {"truncated"}) == Json(true))
    out += fmt::format("... the first {} only; more with --limit\n", rows.size());
  return out;
}

}  // namespace limpet::console
