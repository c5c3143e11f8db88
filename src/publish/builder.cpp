// Configuration -> snapshot, in the order in which things refer to each other: sources, backends,
// pools, services, then what is looked up by address.
#include "limpet/publish/builder.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <string_view>
#include <tuple>
#include <utility>

#include "limpet/base/hash.h"
#include "port_sets.h"
#include "splice_builder.h"

namespace limpet::publish {
namespace {

using dataplane::kNoSlot;

using BackendId = std::tuple<std::string, std::string, IpAddress, uint16_t>;
using ServiceId = std::tuple<IpAddress, uint16_t, uint8_t>;

bool same(const flow::Reta& a, const flow::Reta& b) {
  return a.size == b.size && a.workers == b.workers;
}

bool same(const TableKey& a, const TableKey& b) {
  return a.size == b.size && std::equal(a.members.begin(), a.members.end(), b.members.begin(),
                                        b.members.end(), [](const auto& x, const auto& y) {
                                          return x.name == y.name && x.weight == y.weight;
                                        });
}

uint32_t next_number(const ServiceSlot& s) {
  std::array<bool, dataplane::kRulesPlaces> taken{};
  if (s.entry.splice != nullptr) taken[dataplane::place_of(s.entry.splice->rules->number)] = true;
  for (const KeptSlot& k : s.kept) taken[dataplane::place_of(k.number())] = true;
  // In turn: requests whose rules were given up are still counted where those were.
  const uint32_t made = s.rules_made + 1;
  uint32_t place = made;
  while (taken[place % dataplane::kRulesPlaces]) ++place;
  return static_cast<uint32_t>(made * dataplane::kRulesPlaces + place % dataplane::kRulesPlaces);
}

// Entries of a list that was replaced, by bit, that stand at the same place in today's.
uint8_t counted_still(const dataplane::KeptRules& old, const dataplane::ServiceEntry& now) {
  const std::vector<affinity::EntrySettings>& before = old.splice->rules->settings.entries;
  uint8_t mask = 0;
  size_t i = 0;
  for (const affinity::Entry& entry : now.policy) {
    if (i == before.size()) break;
    // In mode nat there is nothing but the source.
    const bool same =
        now.splice != nullptr
            ? affinity::same_carrier(before[i], now.splice->rules->settings.entries[i])
            : std::holds_alternative<affinity::SourceKey>(entry) &&
                  std::holds_alternative<affinity::SourceSettings>(before[i]);
    if (same) mask = static_cast<uint8_t>(mask | 1u << i);
    ++i;
  }
  return mask;
}

uint32_t sample_of(const config::Log& log) {
  return log.sample >= 1 ? UINT32_MAX : static_cast<uint32_t>(log.sample * 4294967296.0);
}

class Builder {
 public:
  Builder(const Slots& current, const BuildInput& input)
      : in_(input), doc_(*input.document), old_tables_(current.tables) {
    built_.slots = current;
    index();
  }

  Result<Built> run() {
    if (Status s = plan_ports(); !s) return Error{s.error()};
    if (Status s = take_backends(); !s) return Error{s.error()};
    if (Status s = take_services(); !s) return Error{s.error()};
    auto snapshot = std::make_unique<dataplane::Snapshot>();
    snapshot->serial = in_.serial;
    snapshot->ports.assign(in_.ports.begin(), in_.ports.end());
    fill_routes(*snapshot);
    fill_backends(*snapshot);
    fill_pools(*snapshot);
    fill_services(*snapshot);
    fill_locals(*snapshot);
    fill_announcements(*snapshot);
    snapshot->log = {doc_.log.on(), sample_of(doc_.log)};
    if (Status s = fill_tools(*snapshot); !s) return Error{s.error()};
    slots().keys = keys();
    built_.owned.snapshot = std::move(snapshot);
    return std::move(built_);
  }

 private:
  Slots& slots() { return built_.slots; }

  uint16_t smallest_mtu() const {
    uint16_t mtu = 9600;
    for (const dataplane::PortEntry& p : in_.ports) mtu = std::min(mtu, p.mtu);
    return mtu;
  }

  // What is there, by identity. Everything counts as removed until the document claims it.
  void index() {
    was_configured_.resize(slots().backends.size());
    service_was_configured_.resize(slots().services.size());
    for (size_t i = 0; i < slots().backends.size(); ++i) {
      BackendSlot& b = slots().backends[i];
      if (!b.used) continue;
      const auto slot = static_cast<uint16_t>(i);
      backend_of_[{b.pool, b.name, b.endpoint.address, b.endpoint.port.host()}] = slot;
      for (BackendSource& s : b.sources) {
        port_sets_.keep(
            {b.endpoint.address, b.endpoint.port.host(), slots().sources[s.source].address},
            s.ports);
        if (s.removed_in == 0) s.removed_in = in_.serial;
      }
      was_configured_[i] = b.configured;
      if (b.configured) b.removed_in = in_.serial;
      b.configured = false;
    }
    for (size_t i = 0; i < slots().services.size(); ++i) {
      ServiceSlot& s = slots().services[i];
      if (!s.entry.used) continue;
      service_of_[{s.entry.vip, s.entry.port.host(), s.entry.protocol}] = static_cast<uint16_t>(i);
      if (s.entry.configured) s.removed_in = in_.serial;
      service_was_configured_[i] = s.entry.configured;
      s.entry.configured = false;
    }
    for (size_t i = 0; i < slots().sources.size(); ++i)
      if (slots().sources[i].used)
        source_of_[slots().sources[i].address] = static_cast<uint16_t>(i);
  }

  // The first free element at or behind `next`; kNoSlot when `limit` is reached.
  template <class Slot, class Used>
  static uint16_t take(std::vector<Slot>& all, size_t limit, size_t& next, Used used) {
    while (next < all.size() && used(all[next])) ++next;
    if (next >= limit) return kNoSlot;
    if (next == all.size()) all.emplace_back();
    return static_cast<uint16_t>(next++);
  }

  Result<uint16_t> source_slot(const IpAddress& address) {
    const auto found = source_of_.find(address);
    if (found != source_of_.end()) return found->second;
    const uint16_t slot = take(slots().sources, slots().limits().sources, next_source_,
                               [](const SourceSlot& s) { return s.used; });
    if (slot == kNoSlot)
      return Error{
          fmt::format("more than {} source addresses are in use, those of removed pools "
                      "included; use fewer, or wait until their connections have ended",
                      slots().limits().sources)};
    slots().sources[slot] = {true, address};
    source_of_[address] = slot;
    return slot;
  }

  Status take_backends() {
    members_.resize(doc_.pools.size());
    for (size_t p = 0; p < doc_.pools.size(); ++p) {
      const config::Pool& pool = doc_.pools[p];
      for (const config::Backend& backend : pool.backends) {
        const auto found =
            backend_of_.find({pool.name, backend.name, backend.address, backend.port});
        uint16_t slot = found == backend_of_.end() ? kNoSlot : found->second;
        if (slot == kNoSlot) {
          slot = take(slots().backends, slots().limits().backends, next_backend_,
                      [](const BackendSlot& b) { return b.used; });
          if (slot == kNoSlot)
            return Error{
                fmt::format("more than {} backends are in use, removed ones that still "
                            "have connections included; use fewer, or wait",
                            slots().limits().backends)};
        }
        BackendSlot& b = slots().backends[slot];
        if (slot >= was_configured_.size() || !was_configured_[slot])
          built_.new_backends.push_back(slot);
        b.used = true;
        b.configured = true;
        b.removed_in = 0;
        b.pool = pool.name;
        b.name = backend.name;
        b.endpoint = {backend.address, be16::from(backend.port)};
        if (Status s = take_sources(b, pool, backend); !s) return s;
        members_[p].push_back(slot);
      }
    }
    return Ok{};
  }

  // What pools want of source ports, all of it before the first set is made.
  Status plan_ports() {
    for (const config::Pool& pool : doc_.pools) {
      const PortSets::Range range{pool.source_port_first, pool.source_port_last};
      for (const config::Backend& backend : pool.backends)
        for (const IpAddress& address : backend.sources) {
          if (const auto runs = range_of(pool, backend, address); runs && *runs != range)
            // Flows give their ports back to the set that they came from.
            return Error{fmt::format(
                "pool \"{}\" runs with source ports {}-{} from {} towards {}, the file says "
                "{}-{}; restart for that",
                pool.name, runs->first, runs->last, address.to_string(),
                endpoint_text(backend.address, backend.port), range.first, range.last)};
          if (Status s =
                  port_sets_.want({backend.address, backend.port, address}, range, pool.name);
              !s)
            return s;
        }
    }
    const PortSets::Needed needed = port_sets_.needed(in_.workers);
    if (in_.memory && needed.bytes > *in_.memory)
      return Error{fmt::format(
          "not enough memory for the source ports of {} pairs of backend and source address (about "
          "{} MB, {} MB are left): fewer source_addresses, narrower source_ports, or fewer "
          "backends",
          needed.sets, needed.bytes >> 20, *in_.memory >> 20)};
    return Ok{};
  }

  // That a backend draws from, or that its flows still have.
  std::optional<PortSets::Range> range_of(const config::Pool& pool, const config::Backend& backend,
                                          const IpAddress& address) {
    const auto slot = backend_of_.find({pool.name, backend.name, backend.address, backend.port});
    const auto source = source_of_.find(address);
    if (slot == backend_of_.end() || source == source_of_.end()) return std::nullopt;
    std::optional<PortSets::Range> range;
    for (const BackendSource& s : slots().backends[slot->second].sources) {
      if (s.source != source->second) continue;
      if (!range) range = {s.ports->first, s.ports->last};
      range->first = std::min(range->first, s.ports->first);
      range->last = std::max(range->last, s.ports->last);
    }
    return range;
  }

  Status take_sources(BackendSlot& b, const config::Pool& pool, const config::Backend& backend) {
    for (const IpAddress& address : backend.sources) {
      const Result<uint16_t> slot = source_slot(address);
      if (!slot) return Error{slot.error()};
      const auto sets = port_sets(pool, backend, address);
      if (!sets) return Error{sets.error()};
      for (const std::shared_ptr<PortSet>& set : *sets) {
        auto at = std::find_if(b.sources.begin(), b.sources.end(), [&](const BackendSource& s) {
          return s.source == *slot && s.ports == set;
        });
        if (at == b.sources.end()) at = b.sources.insert(at, BackendSource{});
        *at = {*slot, 0, set};
      }
    }
    return Ok{};
  }

  Result<std::vector<std::shared_ptr<PortSet>>> port_sets(const config::Pool& pool,
                                                          const config::Backend& backend,
                                                          const IpAddress& source) {
    const PortSets::Range range{pool.source_port_first, pool.source_port_last};
    const flow::Reta& reta = in_.ports[backend.reached_by].reta;
    bool made = false;
    auto sets =
        port_sets_.get({backend.address, backend.port, source}, range, [&](PortSets::Range piece) {
          made = true;
          return make_set(backend, source, piece, reta);
        });
    for (const auto& set : sets)
      if (!same(set->reta, reta))
        return Error{
            fmt::format("backend {} of pool \"{}\" would be reached by port \"{}\", which "
                        "spreads over the workers in another way; restart for that",
                        endpoint_text(backend.address, backend.port), pool.name,
                        in_.ports[backend.reached_by].name)};
    for (unsigned w = 0; made && w < in_.workers; ++w)
      if (std::all_of(sets.begin(), sets.end(),
                      [w](const auto& set) { return set->by_worker[w]->capacity() == 0; }))
        built_.warnings.push_back(fmt::format(
            "worker {} has no source port in {}-{} from {} towards {}: its clients cannot go there",
            w, range.first, range.last, source.to_string(),
            endpoint_text(backend.address, backend.port)));
    return sets;
  }

  std::shared_ptr<PortSet> make_set(const config::Backend& backend, const IpAddress& source,
                                    PortSets::Range range, const flow::Reta& reta) {
    auto set = std::make_shared<PortSet>();
    set->first = range.first;
    set->last = range.last;
    set->reta = reta;
    for (unsigned w = 0; w < in_.workers; ++w) {
      flow::SourcePorts::Setup setup;
      setup.backend = backend.address;
      setup.backend_port = be16::from(backend.port);
      setup.source = source;
      setup.first = range.first;
      setup.last = range.last;
      setup.toeplitz = in_.workers > 1 ? in_.toeplitz : nullptr;
      setup.reta = reta;
      setup.worker = w;
      setup.random = mix64(in_.random + ++random_count_);
      set->by_worker.push_back(std::make_unique<flow::SourcePorts>(setup));
    }
    return set;
  }

  Status take_services() {
    for (const config::Service& service : doc_.services) {
      const auto protocol = static_cast<uint8_t>(service.protocol);
      const auto found = service_of_.find({service.vip, service.port, protocol});
      uint16_t slot = found == service_of_.end() ? kNoSlot : found->second;
      if (slot == kNoSlot) {
        slot = take(slots().services, slots().limits().services, next_service_,
                    [](const ServiceSlot& s) { return s.entry.used; });
        if (slot == kNoSlot)
          return Error{
              fmt::format("more than {} services are in use, removed ones that still have "
                          "connections included; use fewer, or wait",
                          slots().limits().services)};
      }
      if (slot >= service_was_configured_.size() || !service_was_configured_[slot])
        built_.new_services.push_back(slot);
      ServiceSlot& s = slots().services[slot];
      const std::shared_ptr<const dataplane::SpliceEntry> before = s.entry.splice;
      const affinity::Policy list_before = s.entry.policy;
      s.removed_in = 0;
      s.entry.name = service.name;
      s.entry.vip = service.vip;
      s.entry.port = be16::from(service.port);
      s.entry.protocol = protocol;
      s.entry.used = true;
      s.entry.configured = true;
      s.entry.pool = static_cast<uint16_t>(service.pool);
      s.entry.policy = affinity::Policy(doc_.pools[service.pool].name);
      for (const config::Persistence& p : service.persistence) s.entry.policy.add(p);
      s.entry.timeouts = {to_ticks(service.timeouts.connect),
                          to_ticks(service.timeouts.idle),
                          to_ticks(service.timeouts.half_closed),
                          to_ticks(service.timeouts.time_wait),
                          to_ticks(service.limits.time),
                          to_ticks(std::min(service.timeouts.response, service.timeouts.idle)),
                          to_ticks(std::min(service.timeouts.keep_alive, service.timeouts.idle)),
                          to_ticks(service.timeouts.tunnel),
                          service.timeouts.tells};
      s.entry.forwarding = service.mode;
      if (service.mode != Forwarding::splice) {
        warn_of_table(service.name, s.entry.splice.get(), built_.warnings);
        s.entry.splice = nullptr;
        keep_rules(s, before, list_before);
        continue;
      }
      const uint32_t number = next_number(s);
      auto splice = build_splice(service, {.mtu = smallest_mtu(),
                                           .members = members_[service.pool],
                                           .offers = in_.offers,
                                           .stick_secret = in_.stick_secret,
                                           .previous = s.entry.splice.get(),
                                           .kept = s.kept,
                                           .number = number,
                                           .logged = doc_.log.on(),
                                           .warnings = &built_.warnings});
      if (!splice) return Error{splice.error()};
      s.entry.splice = std::move(*splice);
      if (s.entry.splice->rules->number == number) ++s.rules_made;
      keep_rules(s, before, list_before);
    }
    return Ok{};
  }

  // For the requests that were read by them. Those that are wanted again are no old ones.
  void keep_rules(ServiceSlot& s, const std::shared_ptr<const dataplane::SpliceEntry>& before,
                  const affinity::Policy& list_before) {
    const auto* now = s.entry.splice == nullptr ? nullptr : s.entry.splice->rules.get();
    std::erase_if(s.kept, [now](const KeptSlot& k) { return k.rules.splice->rules.get() == now; });
    if (before != nullptr && before->rules.get() != now) {
      if (s.kept.size() == dataplane::kMaxKeptRules) s.kept.erase(s.kept.begin());
      s.kept.push_back({.rules = {before, list_before}, .replaced_in = in_.serial});
    }
    for (KeptSlot& k : s.kept) k.rules.counted = counted_still(k.rules, s.entry);
  }

  void fill_routes(dataplane::Snapshot& out) const {
    for (size_t p = 0; p < in_.ports.size(); ++p)
      for (const Prefix& address : in_.ports[p].addresses) {
        const dataplane::RouteEntry route{
            {address.network(), address.length}, {}, static_cast<uint16_t>(p)};
        const auto equal = [&](const dataplane::RouteEntry& r) {
          return r.to == route.to && r.port == route.port;
        };
        if (std::none_of(out.routes.begin(), out.routes.end(), equal)) out.routes.push_back(route);
      }
    for (const config::Route& r : doc_.routes)
      out.routes.push_back({{r.to.network(), r.to.length}, r.via, static_cast<uint16_t>(r.port)});
    // Stable: of two equally long ones the connected network wins.
    std::stable_sort(out.routes.begin(), out.routes.end(), [](const auto& a, const auto& b) {
      const Family fa = a.to.address.family(), fb = b.to.address.family();
      return fa != fb ? fa < fb : a.to.length > b.to.length;
    });
  }

  void fill_backends(dataplane::Snapshot& out) {
    for (const SourceSlot& s : slots().sources) out.sources.push_back({s.address});
    for (const BackendSlot& b : slots().backends) {
      dataplane::BackendEntry& e = out.backends.emplace_back();
      e.name = b.name;
      e.pool_name = b.pool;
      e.address = b.endpoint.address;
      e.port = b.endpoint.port;
      e.generation = b.generation;
      e.used = b.used;
      e.configured = b.configured;
      for (const BackendSource& s : b.sources) {
        dataplane::PoolSource& source = e.sources.emplace_back();
        source.source = s.source;
        source.retired = s.removed_in != 0;
        for (const auto& ports : s.ports->by_worker)
          source.ports.push_back(ports->capacity() != 0 ? ports.get() : nullptr);
        built_.owned.ports.push_back(s.ports);
      }
    }
  }

  void fill_pools(dataplane::Snapshot& out) {
    slots().tables.clear();
    for (size_t p = 0; p < doc_.pools.size(); ++p) {
      const config::Pool& pool = doc_.pools[p];
      TableKey key{pool.maglev_size, {}};
      for (const config::Backend& b : pool.backends) key.members.push_back({b.name, b.weight});
      dataplane::PoolEntry& e = out.pools.emplace_back();
      e.name = pool.name;
      e.members = members_[p];
      std::vector<std::string> names;
      for (size_t m = 0; m < e.members.size(); ++m) {
        names.push_back(pool.backends[m].name);
        dataplane::BackendEntry& backend = out.backends[e.members[m]];
        backend.pool = static_cast<uint16_t>(p);
        backend.member = static_cast<uint16_t>(m);
      }
      e.ids = affinity::BackendIds(std::move(names));
      const dataplane::PoolEntry* before = previous_pool(pool.name, key);
      e.maglev = before != nullptr ? before->maglev : balance::Maglev(key.members, key.size);
      if (pool.scheduler == balance::SchedulerType::roundrobin)
        e.turns = before != nullptr && !before->turns.empty() ? before->turns : turns_of(key);
      slots().tables.push_back(std::move(key));
    }
  }

  std::vector<std::shared_ptr<balance::RoundRobin>> turns_of(const TableKey& key) const {
    std::vector<uint32_t> weights;
    for (const balance::MaglevMember& m : key.members) weights.push_back(m.weight);
    std::vector<std::shared_ptr<balance::RoundRobin>> turns;
    for (unsigned w = 0; w < in_.workers; ++w)
      turns.push_back(std::make_shared<balance::RoundRobin>(weights, w, in_.workers));
    return turns;
  }

  // As it was, if its members are the same.
  const dataplane::PoolEntry* previous_pool(const std::string& pool, const TableKey& key) const {
    if (in_.previous == nullptr) return nullptr;
    for (size_t i = 0; i < in_.previous->pools.size() && i < old_tables_.size(); ++i)
      if (in_.previous->pools[i].name == pool && same(old_tables_[i], key))
        return &in_.previous->pools[i];
    return nullptr;
  }

  void fill_services(dataplane::Snapshot& out) {
    for (ServiceSlot& s : slots().services) {
      if (!s.entry.configured) s.entry.pool = kNoSlot;
      out.services.push_back(s.entry);
      for (const KeptSlot& k : s.kept) out.services.back().kept.push_back(k.rules);
    }
  }

  // Where nothing of today's seals a cookie there are no keys; what is left of lists that did (of
  // requests under way, of removed services) goes on with the last ones.
  const affinity::CookieKeys& keys() const {
    const auto seals = [](const auto& splice) {
      return splice != nullptr &&
             std::any_of(splice->rules->cookies.begin(), splice->rules->cookies.end(),
                         [](const dataplane::CookieRule& r) { return r.policy.sealed(); });
    };
    const auto left = [&seals](const ServiceSlot& s) {
      return s.entry.used && (seals(s.entry.splice) ||
                              std::any_of(s.kept.begin(), s.kept.end(), [&](const KeptSlot& k) {
                                return seals(k.rules.splice);
                              }));
    };
    const auto& all = built_.slots.services;
    const bool wanted = in_.keys.list().empty() && std::any_of(all.begin(), all.end(), left);
    return wanted ? built_.slots.keys : in_.keys;
  }

  Status fill_tools(dataplane::Snapshot& out) const {
    const auto looks = [](const auto& splice) {
      return splice != nullptr && splice->rules->request.has_value();
    };
    const auto reads = [&looks](const dataplane::ServiceEntry& s) {
      return s.used && (looks(s.splice) || std::any_of(s.kept.begin(), s.kept.end(),
                                                       [&](const dataplane::KeptRules& k) {
                                                         return looks(k.splice);
                                                       }));
    };
    if (std::none_of(out.services.begin(), out.services.end(), reads)) return Ok{};
    for (unsigned w = 0; w < in_.workers; ++w) {
      auto tools = build_tools(out.services, keys());
      if (!tools) return Error{tools.error()};
      out.tools.push_back(std::move(*tools));
    }
    return Ok{};
  }

  // Removed services and sources stay ours as long as flows may use them.
  void fill_locals(dataplane::Snapshot& out) {
    uint16_t vips = 0;
    for (size_t i = 0; i < out.services.size(); ++i) {
      const dataplane::ServiceEntry& s = out.services[i];
      if (!s.used) continue;
      dataplane::Local& local = out.locals.add(s.vip);
      if (local.vip == kNoSlot) local.vip = vips++;
      out.locals.add_service(local.vip, s.protocol, s.port, static_cast<uint16_t>(i));
    }
    for (size_t i = 0; i < slots().sources.size(); ++i)
      if (slots().sources[i].used)
        out.locals.add(slots().sources[i].address).source = static_cast<uint16_t>(i);
    for (size_t p = 0; p < out.ports.size(); ++p)
      for (const Prefix& address : out.ports[p].addresses)
        out.locals.add(address.address).port = static_cast<uint16_t>(p);
  }

  // On each port in whose network it is: what somebody there may believe to be elsewhere.
  void fill_announcements(dataplane::Snapshot& out) const {
    std::map<std::pair<uint16_t, IpAddress>, uint64_t> since;
    const auto add = [&](const IpAddress& address) {
      for (size_t p = 0; p < out.ports.size(); ++p) {
        const auto& networks = out.ports[p].addresses;
        if (std::any_of(networks.begin(), networks.end(),
                        [&](const Prefix& network) { return network.contains(address); }))
          since[{static_cast<uint16_t>(p), address}] = in_.serial;
      }
    };
    for (const dataplane::ServiceEntry& s : out.services)
      if (s.configured) add(s.vip);
    for (const SourceSlot& s : built_.slots.sources)
      if (s.used) add(s.address);
    if (in_.previous != nullptr)
      for (const dataplane::Announcement& a : in_.previous->announcements)
        if (const auto known = since.find({a.port, a.address}); known != since.end())
          known->second = a.since;
    for (const auto& [key, serial] : since)
      out.announcements.push_back({key.second, key.first, serial});
  }

  const BuildInput& in_;
  const config::Document& doc_;
  const std::vector<TableKey>& old_tables_;
  Built built_;
  std::map<BackendId, uint16_t> backend_of_;
  std::map<ServiceId, uint16_t> service_of_;
  std::map<IpAddress, uint16_t> source_of_;
  PortSets port_sets_;
  std::vector<bool> was_configured_, service_was_configured_;  // by slot
  std::vector<std::vector<uint16_t>> members_;                 // by pool
  size_t next_backend_ = 0, next_service_ = 0, next_source_ = 0;
  uint64_t random_count_ = 0;
};

}  // namespace

std::vector<uint16_t> crowded(const Slots& current, const config::Document& document) {
  std::vector<uint16_t> slots;
  for (size_t i = 0; i < current.services.size(); ++i) {
    const ServiceSlot& s = current.services[i];
    if (s.kept.size() < dataplane::kMaxKeptRules || s.entry.splice == nullptr) continue;
    const auto wanted =
        std::find_if(document.services.begin(), document.services.end(), [&](const auto& w) {
          return w.vip == s.entry.vip && w.port == s.entry.port.host() &&
                 static_cast<uint8_t>(w.protocol) == s.entry.protocol;
        });
    if (wanted == document.services.end()) continue;  // removed: its rules stay its last ones
    const bool splices = wanted->mode == Forwarding::splice;
    std::optional<dataplane::RuleSettings> settings;
    if (splices) settings = rule_settings(*wanted, document.log.on());
    if (s.entry.splice->rules->settings == settings) continue;
    if (std::any_of(s.kept.begin(), s.kept.end(), [&settings](const KeptSlot& k) {
          return k.rules.splice->rules->settings == settings;
        }))
      continue;  // its place is free then
    slots.push_back(static_cast<uint16_t>(i));
  }
  return slots;
}

Result<Built> build(const Slots& current, const BuildInput& input) {
  return Builder(current, input).run();
}

}  // namespace limpet::publish
