// Workers, ports and drops: counters as they are.
#include <fmt/core.h>

#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/base/drop.h"
#include "limpet/control/view.h"
#include "limpet/tcp/splice.h"

namespace limpet::control {

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
    if (v.snapshot.services[slot].splice != nullptr)
      n += stats.services[slot].connections_active.get();
  return n;
}

// What may run short, by name: how much of it there is, and how many connections ended because it
// was short and their source had most of it.
json pools_json(const WorkerInfo& w) {
  const dataplane::WorkerCounters& c = w.stats->worker;
  const auto gave_way = [&](flow::Pool p) { return c.gave_way[static_cast<size_t>(p)].get(); };
  return {{"bindings",
           {{"used", c.bindings_used.get()},
            {"limit", c.bindings_total.get()},
            {"gave_way", gave_way(flow::Pool::bindings)}}},
          {"holds",
           {{"used", c.hold_bytes_used.get()},
            {"limit", c.hold_bytes_total.get()},
            {"gave_way", gave_way(flow::Pool::holds)}}},
          {"edits",
           {{"used", c.edit_bytes_used.get()},
            {"limit", c.edit_bytes_total.get()},
            {"gave_way", gave_way(flow::Pool::edits)}}},
          {"copies", {{"used", c.copy_bytes_used.get()}, {"limit", c.copy_bytes_total.get()}}},
          {"sessions", {{"used", c.sessions_used.get()}, {"limit", w.flow_capacity}}},
          {"flows",
           {{"used", c.flows_used.get()},
            {"limit", w.flow_capacity},
            {"gave_way", c.flows_evicted.get() + c.flows_gave_way.get()}}},
          {"ports",
           {{"used", c.ports_used.get()},
            {"limit", c.ports_total.get()},
            {"gave_way", c.ports_gave_way.get()}}},
          {"neighbors",
           {{"used", c.neighbors_used.get()},
            {"limit", c.neighbors_total.get()},
            {"gave_way", c.neighbors_replaced.get()}}}};
}

json worker_json(const View& v, const WorkerInfo& w) {
  const dataplane::WorkerCounters& c = w.stats->worker;
  return {
      {"id", w.id},
      {"lcore", w.lcore},
      {"poll", w.poll},
      {"iterations", c.iterations.get()},
      {"empty_polls", c.empty_polls.get()},
      {"busy_cycles", c.busy_cycles.get()},
      {"total_cycles", c.total_cycles.get()},
      {"rx", c.rx.get()},
      {"handed_in", c.handed_in.get()},
      {"forwarded", c.forwarded.get()},
      {"consumed", c.consumed.get()},
      {"handed_out", c.handed_out.get()},
      {"punted", c.punted.get()},
      {"drops_total", w.stats->drops_total()},
      {"originated", c.originated.get()},
      {"originated_lost", c.originated_lost.get()},
      {"originated_too_big", c.originated_too_big.get()},
      {"tx_failed", c.tx_failed.get()},
      {"tx", c.tx.get()},
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
      {"cookies_sent", c.cookies_sent.get()},
      {"cookies_accepted", c.cookies_accepted.get()},
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
      {"snapshot", c.snapshot.get()},
      {"mbufs", {{"pool", v.mbuf_pool_size}, {"in_use", v.mbufs_in_use}}},
      {"flows_created", c.flows_created.get()},
      {"flows_expired", c.flows_expired.get()},
      {"flows_evicted", c.flows_evicted.get()},
      {"flows_gave_way", c.flows_gave_way.get()},
      {"flows_reset", c.flows_reset.get()},
      {"port_early_reuse", c.port_early_reuse.get()},
      {"stale_answered", c.stale_answered.get()},
      {"outside_window", c.outside_window.get()},
      {"flows_begun_anew", c.flows_begun_anew.get()},
      {"splice_stateless_answers", c.splice_stateless_answers.get()},
      {"splice_bad_heads", c.splice_bad_heads.get()},
      {"splice_slow_heads", c.splice_slow_heads.get()},
      {"splice_redispatched", c.splice_redispatched.get()},
      {"splice_retried", c.splice_retried.get()},
      {"splice_replaced", c.splice_replaced.get()},
      {"splice_answers", c.splice_answers.get()},
      {"splice_bad_responses", c.splice_bad_responses.get()},
      {"splice_unasked_upgrades", c.splice_unasked_upgrades.get()},
      {"splice_edits_lost", c.splice_edits_lost.get()},
      {"splice_no_memory", c.splice_no_memory.get()},
      {"rules_kept", c.rules_kept.get()},
      {"rules_outlived", c.rules_outlived.get()},
      {"splice_splits", c.splice_splits.get()},
      {"splice_sack_translated", c.splice_sack_translated.get()},
      {"splice_sack_dropped", c.splice_sack_dropped.get()},
      {"splice_clamped_acks", c.splice_clamped_acks.get()},
      {"splice_owned_bytes", c.splice_owned_bytes.get()},
      {"splice_resent_bytes", c.splice_resent_bytes.get()},
      {"splice_swallowed", c.splice_swallowed.get()},
      {"splice_beyond_frontier", c.splice_beyond_frontier.get()},
      {"splice_copied_bytes", c.splice_copied_bytes.get()},
      {"splice_uncopied", c.splice_uncopied.get()},
      {"splice_unlike", c.splice_unlike.get()},
      {"session_notes_lost", c.session_notes_lost.get()},
      {"resets_sent", c.resets_sent.get()},
      {"icmp_sent", c.icmp_sent.get()},
      {"icmp_translated", c.icmp_translated.get()}};
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

}  // namespace limpet::control
