#include "metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <utility>
#include <variant>
#include <vector>

#include "limpet/affinity/persistence.h"
#include "limpet/affinity/reason.h"
#include "limpet/base/drop.h"
#include "limpet/dataplane/refused.h"
#include "memory_pools.h"

namespace limpet::console {
namespace {

using affinity::RequestFlag;
using dataplane::CounterKind;

// A family has as many items as `count` says, and each is told by `tell`: of a worker, a backend, a
// service.
struct Family {
  std::string name;
  MetricType type = MetricType::counter;
  std::string help;
  std::function<size_t(const View&)> count;
  std::function<void(const View&, const ProcessFacts&, size_t, MetricsText&)> tell;
};

constexpr auto one = [](const View&) { return size_t{1}; };
constexpr auto workers = [](const View& v) { return v.workers.size(); };
constexpr auto backends = [](const View& v) { return v.slots.backends.size(); };
constexpr auto services = [](const View& v) { return v.document.services.size(); };
constexpr auto ports = [](const View& v) { return v.snapshot.ports.size(); };

// "connections_total" -> "limpet_backend_connections"; the text puts `_total` behind counters.
std::string metric_name(const char* subject, std::string_view json) {
  constexpr std::string_view kTotal = "_total";
  if (json.size() > kTotal.size() && json.substr(json.size() - kTotal.size()) == kTotal)
    json.remove_suffix(kTotal.size());
  return fmt::format("limpet_{}_{}", subject, json);
}

MetricType type_of(CounterKind kind) {
  return kind == CounterKind::total ? MetricType::counter : MetricType::gauge;
}

// Those that are configured; what else still has flows keeps no name that somebody could ask for.
const publish::BackendSlot* backend_at(const View& v, size_t i) {
  const publish::BackendSlot& b = v.slots.backends[i];
  return b.used && b.configured ? &b : nullptr;
}

uint16_t service_slot(const View& v, size_t i) {
  return v.slots.find_service(v.document.services[i].name);
}

template <class Tell>
Family of_backends(std::string name, MetricType type, std::string help, Tell tell) {
  return {
      std::move(name), type, std::move(help), backends,
      [tell](const View& v, const ProcessFacts&, size_t i, MetricsText& out) {
        if (const publish::BackendSlot* b = backend_at(v, i))
          out.sample({{"pool", b->pool}, {"backend", b->name}}, tell(v, static_cast<uint16_t>(i)));
      }};
}

Family times_of_backends(std::string name, std::string help,
                         publish::HistogramTotals publish::BackendTotals::*times) {
  return {std::move(name), MetricType::histogram, std::move(help), backends,
          [times](const View& v, const ProcessFacts&, size_t i, MetricsText& out) {
            const publish::BackendSlot* b = backend_at(v, i);
            if (b == nullptr) return;
            const publish::BackendTotals all = v.baselines.backend_totals(static_cast<uint16_t>(i));
            const publish::HistogramTotals& t = all.*times;
            out.histogram({{"pool", b->pool}, {"backend", b->name}},
                          dataplane::Histogram::kBoundsUs, t.buckets, t.sum_us);
          }};
}

// Ports towards a backend, of all workers and source addresses.
template <class Of>
uint64_t ports_of(const View& v, uint16_t slot, Of of) {
  uint64_t n = 0;
  if (slot >= v.snapshot.backends.size()) return 0;
  for (const dataplane::PoolSource& source : v.snapshot.backends[slot].sources)
    for (const flow::SourcePorts* p : source.ports)
      if (p != nullptr) n += of(*p);
  return n;
}

void add_backends(std::vector<Family>& out) {
  for (const auto& c : publish::kBackendCounters)
    out.push_back(of_backends(
        metric_name("backend", c.json), type_of(c.kind), c.help,
        [&c](const View& v, uint16_t slot) { return v.baselines.backend_totals(slot).*c.value; }));
  out.push_back(times_of_backends("limpet_backend_connect_seconds",
                                  "Mode splice: from the first SYN of a try to the SYN-ACK",
                                  &publish::BackendTotals::connect));
  out.push_back(times_of_backends(
      "limpet_backend_first_byte_seconds",
      "Mode splice, where responses are read: from the end of a request's head to the first octet "
      "of its response",
      &publish::BackendTotals::first_byte));
  out.push_back(
      {"limpet_backend_responses", MetricType::counter,
       "Mode splice, where responses are read: final responses, by class", backends,
       [](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
         const publish::BackendSlot* b = backend_at(v, i);
         if (b == nullptr) return;
         const publish::BackendTotals t = v.baselines.backend_totals(static_cast<uint16_t>(i));
         for (size_t n = 0; n < t.responses.size(); ++n)
           text.sample(
               {{"pool", b->pool}, {"backend", b->name}, {"class", fmt::format("{}xx", n + 1)}},
               t.responses[n]);
       }});
  out.push_back(of_backends("limpet_backend_up", MetricType::gauge,
                            "1: it takes new clients, 0: it is down, drains or was not checked yet",
                            [](const View& v, uint16_t slot) {
                              return uint64_t{v.status(slot).accepts_new() ? 1u : 0u};
                            }));
  out.push_back(of_backends(
      "limpet_backend_source_ports_used", MetricType::gauge,
      "Source ports towards the backend that are in use", [](const View& v, uint16_t slot) {
        return ports_of(v, slot, [](const flow::SourcePorts& p) { return p.in_use(); });
      }));
  out.push_back(of_backends(
      "limpet_backend_source_ports_limit", MetricType::gauge,
      "Source ports towards the backend: with all of them in use it takes no new connection",
      [](const View& v, uint16_t slot) {
        return ports_of(v, slot, [](const flow::SourcePorts& p) { return p.capacity(); });
      }));
}

void add_services(std::vector<Family>& out) {
  for (const auto& c : publish::kServiceCounters)
    out.push_back({metric_name("service", c.json), type_of(c.kind), c.help, services,
                   [&c](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                     const uint16_t slot = service_slot(v, i);
                     if (slot != dataplane::kNoSlot)
                       text.sample({{"service", v.document.services[i].name}},
                                   v.baselines.service_totals(slot).*c.value);
                   }});
  out.push_back({"limpet_service_up", MetricType::gauge, "1: some backend takes new clients",
                 services, [](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                   const uint16_t slot = service_slot(v, i);
                   if (slot == dataplane::kNoSlot) return;
                   const uint16_t pool = v.snapshot.services[slot].pool;
                   bool up = false;
                   if (pool < v.snapshot.pools.size())
                     for (const uint16_t b : v.snapshot.pools[pool].members)
                       up = up || v.status(b).accepts_new();
                   text.sample({{"service", v.document.services[i].name}}, uint64_t{up ? 1u : 0u});
                 }});
  out.push_back({"limpet_service_choices", MetricType::counter,
                 "Connections by the reason for which their backend was chosen", services,
                 [](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                   const uint16_t slot = service_slot(v, i);
                   if (slot == dataplane::kNoSlot) return;
                   const publish::ServiceTotals t = v.baselines.service_totals(slot);
                   for (size_t r = 0; r < t.reasons.size(); ++r)
                     text.sample(
                         {{"service", v.document.services[i].name},
                          {"reason", affinity::reason_name(static_cast<affinity::Reason>(r))}},
                         t.reasons[r]);
                 }});
  out.push_back({"limpet_service_refused", MetricType::counter,
                 "Requests, and responses, that were refused, by reason", services,
                 [](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                   const uint16_t slot = service_slot(v, i);
                   if (slot == dataplane::kNoSlot ||
                       v.snapshot.services[slot].forwarding != Forwarding::splice)
                     return;
                   const publish::ServiceTotals t = v.baselines.service_totals(slot);
                   for (size_t r = 0; r < t.refused.size(); ++r)
                     if (r != dataplane::refused(http::Refusal::none) &&
                         r != dataplane::refused(http::BodyFault::none))
                       text.sample({{"service", v.document.services[i].name},
                                    {"reason", dataplane::refused_name(r)}},
                                   t.refused[r]);
                 }});
}

const affinity::StickTable* table_of(const View& v, uint16_t slot) {
  const auto& splice = v.snapshot.services[slot].splice;
  return splice == nullptr ? nullptr : splice->table.get();
}

void add_tables(std::vector<Family>& out) {
  const auto add = [&out](const char* name, MetricType type, const char* help, auto value) {
    out.push_back({fmt::format("limpet_table_{}", name), type, help, services,
                   [value](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                     const uint16_t slot = service_slot(v, i);
                     if (slot == dataplane::kNoSlot) return;
                     if (const affinity::StickTable* t = table_of(v, slot))
                       text.sample({{"service", v.document.services[i].name}}, value(*t));
                   }});
  };
  for (const auto& c : publish::kTableCounters)
    add(c.json, type_of(c.kind), c.help,
        [&c](const affinity::StickTable& t) { return t.counters().*c.value; });
  add("limit", MetricType::gauge, "Entries that there is room for",
      [](const affinity::StickTable& t) { return uint64_t{t.capacity()}; });
}

using Decisions = std::vector<std::pair<const char*, uint64_t>>;  // only what can be known

// Did stickiness hold? Of requests, where a carrier is read. A source is not read, it is hashed: of
// connections, and nobody can say who is new, so whoever is at his own backend counts as kept. A
// list has one source at most, so the service's reasons are those of that entry. Nothing is
// subtracted: what a worker counts between two reads would make a difference go back, which
// Prometheus takes for a restart.
Decisions decisions(const View& v, uint16_t slot, size_t entry, const config::Persistence& of) {
  const auto n = [](const auto& counts, auto which) { return counts[static_cast<size_t>(which)]; };
  if (std::holds_alternative<affinity::SourceSettings>(of)) {
    const publish::ServiceTotals t = v.baselines.service_totals(slot);
    return {{"kept", n(t.reasons, affinity::Reason::source) +
                         n(t.reasons, affinity::Reason::source_pinned)},
            {"moved_down", n(t.reasons, affinity::Reason::source_redirected)}};
  }
  const publish::PersistenceTotals t = v.baselines.persistence_totals(slot, entry);
  Decisions all = {{"kept", t.kept},
                   {"new", n(t.request, RequestFlag::none)},
                   {"moved_down", t.moved_down},
                   {"other_backend", t.other_backend_on_keepalive}};
  if (std::holds_alternative<affinity::HeaderSettings>(of)) return all;
  all.insert(all.end(),
             {{"moved_refused", t.redispatched},
              {"expired", n(t.request, RequestFlag::expired) + n(t.request, RequestFlag::old)},
              {"invalid", n(t.request, RequestFlag::invalid)}});
  return all;
}

template <class Tell>
Family of_entries(std::string name, std::string help, Tell tell) {
  return {std::move(name), MetricType::counter, std::move(help), services,
          [tell](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
            const config::Service& s = v.document.services[i];
            const uint16_t slot = service_slot(v, i);
            if (slot == dataplane::kNoSlot) return;
            for (size_t e = 0; e < s.persistence.size(); ++e)
              tell(v, slot, e, s.name, std::to_string(e), s.persistence[e], text);
          }};
}

void add_persistence(std::vector<Family>& out) {
  out.push_back(
      of_entries("limpet_persistence_decisions",
                 "What became of clients by an entry of a persistence list: did stickiness hold?",
                 [](const View& v, uint16_t slot, size_t e, const std::string& service,
                    const std::string& entry, const config::Persistence& p, MetricsText& text) {
                   for (const auto& [result, n] : decisions(v, slot, e, p))
                     text.sample({{"service", service}, {"entry", entry}, {"result", result}}, n);
                 }));
  // By a name of its own each, from `first` on; of cookies.
  const auto named = [&out](const char* name, const char* help, const char* label, size_t first,
                            auto counts, auto name_of) {
    out.push_back(
        of_entries(name, help,
                   [=](const View& v, uint16_t slot, size_t e, const std::string& service,
                       const std::string& entry, const config::Persistence& p, MetricsText& text) {
                     if (!std::holds_alternative<affinity::CookieSettings>(p)) return;
                     const publish::PersistenceTotals t = v.baselines.persistence_totals(slot, e);
                     for (size_t i = first; i < (t.*counts).size(); ++i)
                       text.sample({{"service", service}, {"entry", entry}, {label, name_of(i)}},
                                   (t.*counts)[i]);
                   }));
  };
  named("limpet_persistence_responses", "What was done to responses for the sake of a cookie",
        "result", 0, &publish::PersistenceTotals::response,
        [](size_t i) { return affinity::name(static_cast<affinity::ResponseFlag>(i)); });
  named("limpet_persistence_invalid", "What was wrong with cookies", "reason", 1,
        &publish::PersistenceTotals::detail,
        [](size_t i) { return affinity::name(static_cast<affinity::InvalidDetail>(i)); });
  for (const auto& c : publish::kPersistenceCounters) {
    if (*c.json == '\0') continue;  // a decision
    out.push_back(
        of_entries(metric_name("persistence", c.json), c.help,
                   [&c](const View& v, uint16_t slot, size_t e, const std::string& service,
                        const std::string& entry, const config::Persistence&, MetricsText& text) {
                     text.sample({{"service", service}, {"entry", entry}},
                                 v.baselines.persistence_totals(slot, e).*c.value);
                   }));
  }
}

// Of all workers.
void add_pools(std::vector<Family>& out) {
  const auto pool = [&out](const char* name, MetricType type, const char* help,
                           MemoryPool::Of MemoryPool::*of, bool only_sums) {
    out.push_back({name, type, help, one,
                   [of, only_sums](const View& v, const ProcessFacts&, size_t, MetricsText& text) {
                     for (const MemoryPool& p : kMemoryPools) {
                       if (p.*of == nullptr || (only_sums && !p.adds_up)) continue;
                       uint64_t n = 0;
                       for (const WorkerInfo& w : v.workers) n += (p.*of)(w);
                       text.sample({{"kind", p.kind}}, n);
                     }
                   }});
  };
  pool("limpet_pool_used", MetricType::gauge, "Memory and places in use, of all workers, by kind",
       &MemoryPool::used, true);
  pool("limpet_pool_limit", MetricType::gauge, "How much of it there is", &MemoryPool::limit, true);
  pool("limpet_pool_gave_way", MetricType::counter,
       "Connections, or next hops, that ended because it was short", &MemoryPool::gave_way, false);
}

void add_process(std::vector<Family>& out) {
  out.push_back({"limpet_build_info", MetricType::gauge, "1, with the version as a label", one,
                 [](const View&, const ProcessFacts&, size_t, MetricsText& text) {
                   text.sample({{"version", LIMPET_VERSION}}, uint64_t{1});
                 }});
  const auto fact = [&out](const char* name, const char* help, auto value) {
    out.push_back({name, MetricType::gauge, help, one,
                   [value](const View&, const ProcessFacts& f, size_t, MetricsText& text) {
                     text.sample({}, value(f));
                   }});
  };
  fact("limpet_start_time_seconds", "When the process began, in unix seconds",
       [](const ProcessFacts& f) { return f.start_time; });
  fact("limpet_config_last_reload_successful", "0: the last reload was refused",
       [](const ProcessFacts& f) { return uint64_t{f.last_reload_good ? 1u : 0u}; });
  fact("limpet_config_last_reload_success_timestamp_seconds",
       "When the configuration that runs was taken over, in unix seconds",
       [](const ProcessFacts& f) { return f.last_reload_time; });
  out.push_back({"limpet_log_lines", MetricType::counter,
                 "Lines of the log of requests and flows that were written", one,
                 [](const View&, const ProcessFacts& f, size_t, MetricsText& text) {
                   if (f.log != nullptr) text.sample({}, f.log->written.load());
                 }});
  out.push_back({"limpet_log_lost", MetricType::counter,
                 "Lines of that log that were not, by what was short", one,
                 [](const View& v, const ProcessFacts& f, size_t, MetricsText& text) {
                   if (f.log == nullptr) return;
                   uint64_t ring = 0, memory = 0;
                   for (const WorkerInfo& w : v.workers) {
                     ring += w.stats->worker.log_lost.get();
                     memory += w.stats->worker.log_untold.get();
                   }
                   const auto lost = [&text](const char* reason, uint64_t n) {
                     text.sample({{"reason", reason}}, n);
                   };
                   lost("rate", f.log->lost_rate.load());
                   lost("buffer", f.log->lost_buffer.load());
                   lost("write", f.log->lost_write.load());
                   lost("ring", ring);
                   lost("memory", memory);
                 }});
  out.push_back({"limpet_mbufs_used", MetricType::gauge, "Packet buffers in use", one,
                 [](const View& v, const ProcessFacts&, size_t, MetricsText& text) {
                   text.sample({}, uint64_t{v.mbufs_in_use});
                 }});
  out.push_back({"limpet_mbufs_limit", MetricType::gauge, "Packet buffers", one,
                 [](const View& v, const ProcessFacts&, size_t, MetricsText& text) {
                   text.sample({}, uint64_t{v.mbuf_pool_size});
                 }});
}

// Also what `show` puts together with others: by its member. A gauge is no `_total`.
std::string worker_metric(
    const publish::CounterDef<dataplane::WorkerCounters, dataplane::Counter>& c) {
  if (*c.json != '\0') return metric_name("worker", c.json);
  std::string name = metric_name("worker", c.member);
  if (name.size() < std::strlen("limpet_worker_") + std::strlen(c.member)) name += "_limit";
  return name;
}

void add_workers(std::vector<Family>& out) {
  for (const auto& c : publish::kWorkerCounters)
    out.push_back({worker_metric(c), type_of(c.kind), c.help, workers,
                   [&c](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                     text.sample({{"worker", std::to_string(v.workers[i].id)}},
                                 (v.workers[i].stats->worker.*c.value).get());
                   }});
}

void add_ports(std::vector<Family>& out) {
  out.push_back({"limpet_drops", MetricType::counter,
                 "Packets that were dropped, by reason and port", ports,
                 [](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                   for (size_t reason = 1; reason < kDropCount; ++reason) {
                     uint64_t n = 0;
                     for (const WorkerInfo& w : v.workers)
                       if (i < w.stats->drops.size()) n += w.stats->drops[i][reason].packets.get();
                     text.sample({{"port", v.snapshot.ports[i].name},
                                  {"reason", drop_name(static_cast<Drop>(reason))}},
                                 n);
                   }
                 }});
  struct OfPort {
    const char* name;
    const char* help;
    uint64_t dataplane::NicCounters::*value;
  };
  static constexpr OfPort kPorts[] = {
      {"limpet_port_received_packets", "Packets that the device received",
       &dataplane::NicCounters::rx_packets},
      {"limpet_port_received_bytes", "Bytes that the device received",
       &dataplane::NicCounters::rx_bytes},
      {"limpet_port_transmitted_packets", "Packets that the device sent",
       &dataplane::NicCounters::tx_packets},
      {"limpet_port_transmitted_bytes", "Bytes that the device sent",
       &dataplane::NicCounters::tx_bytes},
      {"limpet_port_missed_packets", "Packets that came while the receive queues were full",
       &dataplane::NicCounters::missed},
      {"limpet_port_receive_errors", "Packets that were damaged on the wire",
       &dataplane::NicCounters::rx_errors},
      {"limpet_port_transmit_errors", "Packets that the device could not send",
       &dataplane::NicCounters::tx_errors},
      {"limpet_port_no_buffer", "Packets for which there was no buffer",
       &dataplane::NicCounters::no_mbuf}};
  for (const OfPort& p : kPorts)
    out.push_back({p.name, MetricType::counter, p.help, ports,
                   [&p](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
                     if (v.nic)
                       text.sample({{"port", v.snapshot.ports[i].name}}, v.nic(i).*p.value);
                   }});
  out.push_back(
      {"limpet_port_up", MetricType::gauge, "1: the port has a link", ports,
       [](const View& v, const ProcessFacts&, size_t i, MetricsText& text) {
         if (v.nic)
           text.sample({{"port", v.snapshot.ports[i].name}}, uint64_t{v.nic(i).link_up ? 1u : 0u});
       }});
}

const std::vector<Family>& families() {
  static const std::vector<Family> all = [] {
    std::vector<Family> out;
    add_process(out);
    add_pools(out);
    add_services(out);
    add_persistence(out);
    add_tables(out);
    add_backends(out);
    add_ports(out);
    add_workers(out);
    return out;
  }();
  return all;
}

}  // namespace

bool MetricsWalk::turn(const View& v, const ProcessFacts& facts) {
  if (serial_ != v.snapshot.serial) {
    text_ = MetricsText(text_.format());
    family_ = item_ = 0;
    serial_ = v.snapshot.serial;
  }
  const std::vector<Family>& all = families();
  const size_t enough = text_.text().size() + kSliceBytes;
  for (size_t left = kSlice; family_ < all.size(); ++family_, item_ = 0) {
    const Family& f = all[family_];
    for (const size_t n = f.count(v); item_ < n; ++item_, --left) {
      if (left == 0 || text_.text().size() >= enough) return false;
      if (item_ == 0) text_.family(f.name, f.type, f.help);
      f.tell(v, facts, item_, text_);
    }
  }
  text_.end();
  return true;
}

}  // namespace limpet::console
