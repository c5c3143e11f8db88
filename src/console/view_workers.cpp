// Workers, ports and drops: counters as they are.
#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/base/drop.h"
#include "limpet/console/view.h"
#include "limpet/tcp/splice.h"
#include "memory_pools.h"

namespace limpet::console {

using nlohmann::json;

namespace {

// The workers that `name` selects; an error when it is no number of one.
Result<std::span<const WorkerInfo>> selected(const View& v, std::string_view name) {
  if (name.empty()) return v.workers;
  size_t n = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), n);
  if (error != std::errc() || end != name.data() + name.size() || n >= v.workers.size())
    return Error{fmt::format("no worker \"{}\"; expected 0 to {}", name, v.workers.size() - 1)};
  return v.workers.subspan(n, 1);
}

// Connections of services that are spliced now. Those that a service had before a reload changed
// its mode are counted with the new mode until they end.
uint64_t spliced_flows(const View& v, const dataplane::WorkerStats& stats) {
  uint64_t n = 0;
  for (size_t slot = 0; slot < v.snapshot.services.size(); ++slot)
    if (v.snapshot.services[slot].forwarding == Forwarding::splice)
      n += stats.services[slot].connections_active.get();
  return n;
}

json pools_json(const WorkerInfo& w) {
  json pools = json::object();
  for (const MemoryPool& p : kMemoryPools) {
    if (!p.in_show) continue;
    json& row = pools[p.kind] = {{"used", p.used(w)}, {"limit", p.limit(w)}};
    if (p.gave_way != nullptr) row["gave_way"] = p.gave_way(w);
  }
  return pools;
}

json worker_json(const View& v, const WorkerInfo& w) {
  const dataplane::WorkerCounters& c = w.stats->worker;
  json row = {
      {"id", w.id},
      {"lcore", w.lcore},
      {"poll", w.poll},
      {"drops_total", w.stats->drops_total()},
      {"held",
       {{"packets", c.held_packets.get()}, {"bytes", c.held_bytes.get()}, {"limit", w.held_limit}}},
      {"flows",
       {{"used", c.flows_used.get()},
        {"capacity", w.flow_capacity},
        {"bytes_each", w.flow_bytes_each}}},
      {"neighbors",
       {{"used", c.neighbors_used.get()},
        {"capacity", c.neighbors_total.get()},
        {"replaced", c.neighbors_replaced.get()},
        {"refused", c.neighbors_refused.get()}}},
      {"spliced",
       {{"used", spliced_flows(v, *w.stats)},
        {"capacity", w.flow_capacity},
        {"bytes_each", sizeof(tcp::SpliceFlow)}}},
      {"half_open", {{"used", c.half_open_used.get()}, {"capacity", c.half_open_total.get()}}},
      {"sessions", {{"used", c.sessions_used.get()}, {"bytes_each", c.session_bytes.get()}}},
      {"edits",
       {{"live", c.edits_live.get()},
        {"bytes_used", c.edit_bytes_used.get()},
        {"bytes_total", c.edit_bytes_total.get()}}},
      {"copies",
       {{"bytes_used", c.copy_bytes_used.get()}, {"bytes_total", c.copy_bytes_total.get()}}},
      {"bindings",
       {{"used", c.bindings_used.get()},
        {"bytes_used", c.hold_bytes_used.get()},
        {"bytes_total", c.hold_bytes_total.get()}}},
      {"pools", pools_json(w)},
      {"rings",
       {{"in_dropped", c.ring_in_dropped.get()}, {"out_dropped", c.ring_out_dropped.get()}}},
      {"mbufs", {{"pool", v.mbuf_pool_size}, {"in_use", v.mbufs_in_use}}}};
  for (const auto& counter : publish::kWorkerCounters)
    if (*counter.json != '\0') row[counter.json] = (c.*counter.value).get();
  return row;
}

}  // namespace

Result<Rows> worker_rows(const View& v, std::string_view name) {
  const Result<std::span<const WorkerInfo>> workers = selected(v, name);
  if (!workers) return Error{workers.error()};
  Rows rows;
  for (const WorkerInfo& w : *workers) rows.push_back(worker_json(v, w));
  return rows;
}

Result<Rows> port_rows(const View& v, std::string_view name) {
  Rows rows;
  for (size_t i = 0; i < v.snapshot.ports.size(); ++i) {
    const dataplane::PortEntry& p = v.snapshot.ports[i];
    if (!name.empty() && name != p.name) continue;
    const dataplane::NicCounters n = v.nic ? v.nic(i) : dataplane::NicCounters{};
    rows.push_back({{"name", p.name},
                    {"device", i < v.document.ports.size() ? v.document.ports[i].device : ""},
                    {"mac", p.mac.to_string()},
                    {"mtu", p.mtu},
                    {"link", n.link_up ? "up" : "down"},
                    {"rss", p.rss},
                    {"rx_packets", n.rx_packets},
                    {"rx_bytes", n.rx_bytes},
                    {"tx_packets", n.tx_packets},
                    {"tx_bytes", n.tx_bytes},
                    {"imissed", n.missed},
                    {"ierrors", n.rx_errors},
                    {"oerrors", n.tx_errors},
                    {"rx_nombuf", n.no_mbuf}});
  }
  if (rows.empty() && !name.empty()) return Error{fmt::format("no port \"{}\"", name)};
  return rows;
}

// `name` is looked for among the workers' numbers, then the reasons, then the ports.
Result<Rows> drop_rows(const View& v, std::string_view name) {
  const Result<std::span<const WorkerInfo>> one = selected(v, name);
  const std::span<const WorkerInfo> workers = one ? *one : v.workers;
  size_t only_reason = 0, only_port = v.snapshot.ports.size();
  if (!one) {
    for (size_t reason = 1; reason < kDropCount; ++reason)
      if (name == drop_name(static_cast<Drop>(reason))) only_reason = reason;
    for (size_t port = 0; port < v.snapshot.ports.size() && only_reason == 0; ++port)
      if (name == v.snapshot.ports[port].name) only_port = port;
    if (only_reason == 0 && only_port == v.snapshot.ports.size())
      return Error{fmt::format(
          "no worker, reason or port \"{}\"; `limpetctl show drops --all` lists them", name)};
  }
  Rows rows;
  for (size_t reason = 1; reason < kDropCount; ++reason) {  // 0 is "not dropped"
    if (only_reason != 0 && reason != only_reason) continue;
    for (const WorkerInfo& w : workers)
      for (size_t port = 0; port < w.stats->drops.size() && port < v.snapshot.ports.size();
           ++port) {
        if (only_port != v.snapshot.ports.size() && port != only_port) continue;
        const dataplane::DropCounter& count = w.stats->drops[port][reason];
        rows.push_back({{"reason", drop_name(static_cast<Drop>(reason))},
                        {"worker", w.id},
                        {"port", v.snapshot.ports[port].name},
                        {"packets", count.packets.get()},
                        {"bytes", count.bytes.get()}});
      }
  }
  return rows;
}

}  // namespace limpet::console
