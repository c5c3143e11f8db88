#include "bounds.h"

#include <algorithm>
#include <chrono>
#include <set>
#include <tuple>

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

// Collects the first broken promise; `where` names the element that is looked at.
struct Bounds {
  std::string first;
  std::string where;

  void hold(bool promise, const char* what) {
    if (!promise && first.empty()) first = where + ": " + what;
  }
  template <class T>
  void range(T value, T low, T high, const char* what) {
    hold(value >= low && value <= high, what);
  }
};

bool host(const IpAddress& a) {
  return !a.is_unspecified() && !a.is_multicast() && !a.is_broadcast() && !a.is_loopback();
}

bool name(const std::string& n) {
  return !n.empty() && n.size() <= kMaxNameLength && std::all_of(n.begin(), n.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

bool prime(uint32_t n) {
  for (uint32_t d = 2; d * d <= n; ++d)
    if (n % d == 0) return false;
  return n > 1;
}

bool on_link(const Port& port, const IpAddress& a) {
  return std::any_of(port.addresses.begin(), port.addresses.end(),
                     [&](const Prefix& p) { return p.contains(a); });
}

void process(const Document& d, Bounds& b) {
  b.where = "process";
  b.range(d.capacity.flows, 1024u, 1u << 27, "flows");
  b.range(d.capacity.held_packets, 64u, 1u << 20, "held_packets");
  for (const std::string& argument : d.eal) b.hold(!argument.empty(), "eal argument");
}

void ports(const Document& d, std::set<IpAddress>& own, Bounds& b) {
  b.range(d.ports.size(), size_t{1}, size_t{kMaxPorts}, "number of ports");
  std::set<std::string> names, devices;
  for (const Port& p : d.ports) {
    b.where = "port " + p.name;
    b.hold(name(p.name) && names.insert(p.name).second, "name");
    b.hold(!p.device.empty() && p.device.size() < 64 && devices.insert(p.device).second, "device");
    b.range<int>(p.mtu, 1280, 9600, "mtu");
    b.range(p.addresses.size(), size_t{1}, size_t{kMaxPortAddresses}, "number of addresses");
    for (const Prefix& a : p.addresses) {
      b.hold(host(a.address) && own.insert(a.address).second, "address");
      b.range<int>(a.length, 1, a.address.is_v4() ? 32 : 128, "length");
      for (const Port& other : d.ports)
        b.hold(&other == &p || !on_link(other, a.address), "address in another port's network");
    }
  }
}

void routes(const Document& d, const std::set<IpAddress>& own, Bounds& b) {
  b.hold(d.routes.size() <= kMaxRoutes, "number of routes");
  for (const Route& r : d.routes) {
    b.where = "route " + r.to.to_string();
    b.hold(r.to.address == r.to.network(), "host bits");
    b.hold(host(r.via) && r.via.family() == r.to.address.family() && !own.contains(r.via), "via");
    b.hold(r.port < d.ports.size() && on_link(d.ports[r.port], r.via), "port");
    b.hold(std::count_if(d.routes.begin(), d.routes.end(),
                         [&](const Route& o) { return o.to == r.to; }) == 1,
           "duplicate");
  }
}

void health(const Health& h, Bounds& b) {
  b.range<Duration>(h.interval, 10ms, 1h, "interval");
  b.range<Duration>(h.timeout, 1ms, h.interval, "timeout");
  b.range(h.rise, 1u, 100u, "rise");
  b.range(h.fall, 1u, 100u, "fall");
  b.hold(!h.uri.empty() && h.uri[0] == '/' && h.uri.find_first_of(" \r\n") == std::string::npos,
         "uri");
  b.hold(h.host.find_first_of(" \r\n") == std::string::npos, "host");
  b.hold(!h.expect.empty(), "expect");
  for (const StatusRange& r : h.expect)
    b.hold(r.first >= 100 && r.first <= r.last && r.last <= 599, "expect range");
  b.hold(!h.verify || h.type == HealthType::https, "verify");
}

void pool(const Document& d, const Pool& p, const std::set<IpAddress>& own,
          const std::set<IpAddress>& vips, Bounds& b) {
  b.where = "pool " + p.name;
  b.range(p.backends.size(), size_t{1}, size_t{kMaxPoolBackends}, "number of backends");
  b.range(p.maglev_size, 251u, 5000011u, "maglev_size");
  b.hold(prime(p.maglev_size) && p.maglev_size > p.backends.size(), "maglev_size");
  b.hold(p.source_port_first >= 1 && p.source_port_first <= p.source_port_last, "source_ports");
  b.hold(!p.source_addresses.empty(), "number of sources");
  health(p.health, b);
  if (p.backends.empty()) return;
  const Family family = p.backends[0].address.family();
  for (const IpAddress& a : p.source_addresses)
    b.hold(host(a) && a.family() == family && !vips.contains(a), "source address");
  std::set<std::string> names;
  std::set<std::pair<IpAddress, uint16_t>> endpoints;
  uint64_t weights = 0;
  for (const Backend& s : p.backends) {
    b.where = "backend " + p.name + "/" + s.name;
    b.hold(name(s.name) && names.insert(s.name).second, "name");
    b.hold(host(s.address) && s.address.family() == family, "address");
    b.hold(!own.contains(s.address) && !vips.contains(s.address), "address of limpet itself");
    b.hold(s.port != 0 && endpoints.emplace(s.address, s.port).second, "endpoint");
    b.hold(s.weight <= 256, "weight");
    weights += s.weight;
    b.hold(s.reached_by < d.ports.size(), "reached_by");
    b.hold(!s.sources.empty(), "number of sources");
    for (const IpAddress& a : s.sources)
      b.hold(a != s.address && std::find(p.source_addresses.begin(), p.source_addresses.end(), a) !=
                                   p.source_addresses.end(),
             "source");
  }
  b.where = "pool " + p.name;
  b.hold(weights > 0, "weights");
}

bool printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= 0x20 && c < 0x7f; });
}

// What goes into a Set-Cookie line must not be able to end an attribute, or the line.
bool attribute(const std::string& text) {
  return printable(text) && text.find(';') == std::string::npos;
}

void inserted(const CookieSettings& c, Bounds& b) {
  size_t text = 7 + c.path.size() + (c.http_only ? 10 : 0) + (c.secure ? 8 : 0);
  b.hold(!c.path.empty() && c.path[0] == '/' && attribute(c.path), "path");
  for (const std::string& domain : c.domains) {
    b.hold(domain.find('.', 1) != std::string::npos && attribute(domain), "domain");
    text += 9 + domain.size();
  }
  for (const std::string& a : c.attributes) {
    b.hold(!a.empty() && a.size() <= 128 && attribute(a), "attribute");
    text += 2 + a.size();
  }
  b.hold(text <= affinity::kMaxAttributeText && c.domains.size() <= affinity::kMaxCookieDomains &&
             c.attributes.size() <= affinity::kMaxCookieAttributes,
         "attributes");
  for (const uint64_t seconds : {c.idle_timeout, c.absolute_timeout})
    b.hold(seconds <= 365 * 86400 && (!c.sealed || seconds % 60 == 0), "time-out");
  b.hold(c.absolute_timeout == 0 || c.idle_timeout <= c.absolute_timeout, "idle_timeout");
  b.hold(!c.permanent || c.idle_timeout + c.absolute_timeout > 0, "lifetime");
  b.hold(c.same_site != SameSite::none || c.secure, "same_site");
}

void cookie(const CookieSettings& c, Bounds& b) {
  b.hold(!c.name.empty() && c.name.size() <= affinity::kMaxCookieName && c.name[0] != '$' &&
             attribute(c.name) && c.name.find_first_of(" ,=\"()/:<>?@[]\\{}") == std::string::npos,
         "session_name");
  if (c.mode == CookieMode::insert) return inserted(c, b);
  b.hold(!c.indirect && !c.no_cache && !c.preserve && !c.post_only && !c.http_only && !c.secure &&
             c.path.empty() && c.domains.empty() && c.attributes.empty() &&
             c.same_site == SameSite::unset && !c.permanent &&
             c.idle_timeout + c.absolute_timeout == 0,
         "setting of another cookie mode");
}

void persistence(const Service& s, Bounds& b) {
  std::set<std::string> names, headers;
  bool learns = false, pins = false;
  size_t sources = 0;
  b.hold(s.persistence.size() <= affinity::kMaxEntries, "number of entries");
  for (const Persistence& p : s.persistence) {
    b.hold(sources == 0, "entry behind a source");
    std::visit(affinity::Visit{
                   [&](const SourceSettings& source) {
                     ++sources;
                     pins = !names.empty();
                     b.range<int>(source.prefix4, 1, 32, "prefix4");
                     b.range<int>(source.prefix6, 1, 128, "prefix6");
                   },
                   [&](const CookieSettings& c) {
                     b.hold(s.mode == Forwarding::splice, "cookie without splice");
                     b.hold(names.insert(c.name).second, "cookie twice");
                     b.hold(c.service == s.name, "service of a cookie");
                     learns |= c.mode == CookieMode::learn;
                     cookie(c, b);
                   },
                   [&](const HeaderSettings& h) {
                     std::string lower;
                     for (const char x : h.name)
                       lower += static_cast<char>(x >= 'A' && x <= 'Z' ? x + 32 : x);
                     b.hold(s.mode == Forwarding::splice, "header without splice");
                     b.hold(headers.insert(lower).second, "header twice");
                     b.hold(!h.name.empty() && h.name.size() <= affinity::kMaxHeaderName &&
                                printable(h.name) &&
                                h.name.find_first_of(" ,;=\"()/:<>?@[]\\{}") == std::string::npos,
                            "name of a header");
                   }},
               p);
  }
  b.hold(names.size() <= affinity::kMaxCookies, "number of cookies");
  b.hold(headers.size() <= affinity::kMaxHeaders, "number of headers");
  b.hold(s.table.size == 0 ? !learns : learns || pins, "table");
  if (s.table.size == 0) return;
  b.range(s.table.size, 16u, kMaxTableSize, "table size");
  b.range<Duration>(s.table.expire, 1s, 24h * 365, "table expire");
}

void splice(const Service& s, Bounds& b) {
  b.hold(s.mode == Forwarding::splice ||
             (s.forwarded == Forwarded::none && s.on_no_backend == OnNoBackend::reset &&
              s.redispatch && !s.session_log && s.table.size == 0),
         "setting of mode splice");
  b.hold(s.mode == Forwarding::nat || s.protocol == Protocol::tcp, "splice without tcp");
  b.range(s.limits.bytes, 1024u, 16384u, "head_bytes");
  b.range<Duration>(s.limits.time, 100ms, 10min, "head_time");
  b.hold(s.unavailable.body.size() <= kMaxUnavailableBody, "body");
  b.hold(printable(s.unavailable.content_type) &&
             s.unavailable.content_type.find('/') != std::string::npos,
         "content_type");
  b.hold(s.unavailable.retry_after >= Duration(0) && s.unavailable.retry_after <= 24h &&
             s.unavailable.retry_after % Duration(1s) == Duration(0),
         "retry_after");
}

void service(const Document& d, const Service& s, const std::set<IpAddress>& own, Bounds& b) {
  b.where = "service " + s.name;
  b.hold(host(s.vip) && !own.contains(s.vip), "vip");
  b.hold(s.port != 0, "port");
  b.hold(s.protocol == Protocol::tcp || s.protocol == Protocol::udp, "protocol");
  b.hold(s.pool < d.pools.size() && !d.pools[s.pool].backends.empty() &&
             d.pools[s.pool].backends[0].address.family() == s.vip.family(),
         "pool");
  persistence(s, b);
  splice(s, b);
  b.range<Duration>(s.timeouts.connect, 100ms, 10min, "connect");
  b.range<Duration>(s.timeouts.idle, 100ms, 168h, "idle");
  b.range<Duration>(s.timeouts.half_closed, 100ms, 24h, "half_closed");
  b.range<Duration>(s.timeouts.time_wait, 100ms, 10min, "time_wait");
  b.range<Duration>(s.timeouts.response, 100ms, 24h, "response");
  b.range<Duration>(s.timeouts.keep_alive, 100ms, 24h, "keep_alive");
  b.range<Duration>(s.timeouts.tunnel, 100ms, 168h, "tunnel");
  b.range<uint32_t>(s.retries, 0, 60, "retries");
}

}  // namespace

std::string broken_bound(const Document& d) {
  Bounds b;
  std::set<IpAddress> own, vips;
  std::set<std::string> names, pools;
  std::set<std::tuple<IpAddress, uint16_t, Protocol>> endpoints;
  process(d, b);
  ports(d, own, b);
  routes(d, own, b);
  b.range(d.services.size(), size_t{1}, size_t{kMaxServices}, "number of services");
  for (const Service& s : d.services) {
    service(d, s, own, b);
    b.hold(name(s.name) && names.insert(s.name).second, "name");
    b.hold(endpoints.emplace(s.vip, s.port, s.protocol).second, "endpoint");
    vips.insert(s.vip);
  }
  uint64_t entries = 0;
  bool seals = false;
  for (const Service& s : d.services) {
    entries += s.table.size;
    for (const Persistence& p : s.persistence)
      if (const auto* c = std::get_if<CookieSettings>(&p))
        seals |= c->mode != CookieMode::learn && c->sealed;
  }
  b.where = "document";
  b.hold(entries <= kMaxTableEntries, "table entries");
  b.hold(seals ? d.cookie_keys_file.size() > 1 && d.cookie_keys_file[0] == '/'
               : d.cookie_keys_file.empty(),
         "cookie_keys_file");
  b.hold(d.metrics.size() <= kMaxListen, "places for metrics");
  for (const Listen& l : d.metrics)
    b.hold(l.path.empty() ? l.port != 0
                          : l.path[0] == '/' && l.path.size() <= kMaxSocketPath && l.port == 0,
           "place for metrics");
  b.hold(d.log.sample > 0 && d.log.sample <= 1, "sample of the log");
  b.range(d.log.rate, 1u, kMaxLogRate, "rate of the log");
  b.hold(d.log.path.empty() == (d.log.to == Log::To::nowhere || d.log.to == Log::To::error_output),
         "path of the log");
  b.where = "pools";
  b.range(d.pools.size(), size_t{1}, size_t{kMaxPools}, "number of pools");
  for (const Pool& p : d.pools) {
    pool(d, p, own, vips, b);
    b.hold(name(p.name) && pools.insert(p.name).second, "name");
  }
  return b.first;
}

}  // namespace limpet::config
