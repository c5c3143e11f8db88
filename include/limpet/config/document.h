// A validated configuration: what the operator wrote, with defaults filled in and every name
// resolved to an index. Plain values; no libconfig type leaves `config`. Produced by load.h only,
// so whoever holds a Document may rely on every bound given here.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "limpet/balance/scheduler.h"
#include "limpet/base/address.h"
#include "limpet/base/forwarded.h"
#include "limpet/base/forwarding.h"
#include "limpet/base/time.h"
#include "limpet/config/persistence.h"

namespace limpet::config {

enum class Poll : uint8_t { spin, adaptive };
enum class Protocol : uint8_t { tcp = 6, udp = 17 };
enum class HealthType : uint8_t { none, tcp, http, https };
// A PROXY header before a check's own octets: "PROXY UNKNOWN", or version 2 with command LOCAL.
enum class HealthProxy : uint8_t { none, v1, v2 };
enum class OnNoBackend : uint8_t { reset, unavailable };  // RST or ICMP; a 503 and a clean close

// A limit on everything that the file may multiply, so that the tables built from it have known
// sizes.
constexpr uint32_t kMaxPorts = 16;
constexpr uint32_t kMaxPortAddresses = 64;  // of one port
constexpr uint32_t kMaxRoutes = 1024;
constexpr uint32_t kMaxPools = 4096;
constexpr uint32_t kMaxPoolBackends = 4096;  // of one pool
constexpr uint32_t kMaxBackends = 16384;     // of all pools together
constexpr uint32_t kMaxPoolSources = 64;     // source addresses of one pool
constexpr uint32_t kMaxSources = 4096;       // different source addresses of all pools together
constexpr uint32_t kMaxServices = 4096;
constexpr uint32_t kMaxNameLength = 63;         // names: letters, digits, '_', '-' and '.'
constexpr uint32_t kMaxUnavailableBody = 4096;  // bytes of a 503, all of it sent at once

struct Place {  // of a setting, for messages about it from outside `config`
  std::string file;
  int line = 0;  // 0: not set
};

struct Capacity {                 // per process, shared out over the workers
  uint32_t flows = 1000000;       // 1024 .. 2^27
  uint32_t held_packets = 16384;  // 64 .. 2^20
};

struct Port {
  std::string name;               // unique
  std::string device;             // vdev name ("net_af_packet0") or PCI address, always in its long
                                  // lower-case form ("0000:03:00.0"); unique
  std::vector<Prefix> addresses;  // host bits kept: address and the on-link network in one
  uint16_t mtu = 1500;            // bytes of IP, 1280 .. 9600
  int line = 0;
  Place device_place;
};

struct Route {
  Prefix to;
  IpAddress via;      // on-link on exactly one port
  uint32_t port = 0;  // index into Document::ports
};

struct StatusRange {
  uint16_t first = 200, last = 399;
};

struct Health {
  HealthType type = HealthType::tcp;  // default none when only UDP services use the pool
  std::string uri = "/";
  std::string host;  // Host header; empty: the backend's address
  std::vector<StatusRange> expect = {{200, 399}};
  bool verify = false;                          // https: verify the certificate
  uint16_t port = 0;                            // 0: the backend's own
  Duration interval = std::chrono::seconds(1);  // 10 ms .. 1 h
  Duration timeout =
      std::chrono::milliseconds(500);  // 1 ms .. interval, so that checks never overlap
  uint32_t rise = 2, fall = 3;         // 1 .. 100
  // As written; "auto" has become what the pool's services send, none for checks with a port of
  // their own.
  HealthProxy proxy = HealthProxy::none;
};

struct Backend {
  std::string name;  // unique in the pool
  IpAddress address;
  uint16_t port = 0;        // 1 .. 65535
  uint32_t weight = 1;      // 0 .. 256; 0: no new client; not all of a pool's are 0
  uint32_t reached_by = 0;  // index into Document::ports: on-link, or by the longest matching route
  std::vector<IpAddress>
      sources;  // full NAT sources towards this backend, never empty: those of the
                // pool when given, else the addresses of `reached_by` in its family
  int line = 0;
};

struct Pool {
  std::string name;                         // unique
  std::vector<Backend> backends;            // all of one family; at least one
  std::vector<IpAddress> source_addresses;  // full NAT sources, same family, never empty: as given,
                                            // or all that its backends' `sources` resolved to
  uint16_t source_port_first = 1024;        // range of our ports towards backends, first <= last
  uint16_t source_port_last = 65535;
  Place source_ports_place;
  balance::SchedulerType scheduler = balance::SchedulerType::maglev;
  uint32_t maglev_size = 65537;  // prime, 251 .. 5000011, more than there are backends
  Health health;
  int line = 0;
};

struct Timeouts {
  // nat: the handshake that passes through us, default 10 s. splice: each try of a backend, from
  // our first SYN to its SYN-ACK, default 1 s; then the next one is tried. 100 ms .. 10 m
  Duration connect = std::chrono::seconds(10);
  // Established TCP; UDP default 30 s. splice: of every wait but a tunnel's the ceiling.
  // 100 ms .. 7 d
  Duration idle = std::chrono::minutes(5);
  Duration half_closed = std::chrono::minutes(2);  // one FIN seen; 100 ms .. 1 d
  Duration time_wait = std::chrono::seconds(2);    // both FINs or RST seen; 100 ms .. 10 m
  // Mode splice. Given ones are not above idle; a default may be, and idle counts then.
  Duration response = std::chrono::minutes(1);    // of an answer, to its next octet; 100 ms .. 1 d
  Duration keep_alive = std::chrono::minutes(1);  // between two requests; 100 ms .. 1 d
  Duration tunnel = std::chrono::hours(1);  // after 101 and CONNECT, and unfollowed; 100 ms .. 7 d
  bool tells = true;  // on_expiry "reset": who has waited for too long hears of it; udp: true
};

// Of a request head, mode splice. One behind the first is held while its connection lives on both
// sides, and for that a connection has 16 k (tcp/splice.h); more for the first alone would be a
// limit that the same request finds or does not find.
constexpr uint32_t kMaxHeadBytes = 16384;
struct HeadLimits {
  uint32_t bytes = kMaxHeadBytes;            // 1 k and more, from its first byte to the empty line
  Duration time = std::chrono::seconds(10);  // from its first byte to its last; 100 ms .. 10 m
};

// The 503 of mode splice.
struct Unavailable {
  std::string body =
      "<!DOCTYPE html>\n<title>503 Service Unavailable</title>\n<h1>Service unavailable</h1>\n"
      "<p>No server can take this request at the moment. Please try again.</p>\n";
  std::string content_type = "text/html";          // printable, type/subtype[;parameters]
  Duration retry_after = std::chrono::seconds(5);  // whole seconds up to 1 d; 0: no Retry-After
};

struct Service {
  std::string name;  // unique
  IpAddress vip;
  uint16_t port = 0;
  Protocol protocol = Protocol::tcp;
  Forwarding mode = Forwarding::nat;     // splice: protocol is tcp
  uint32_t pool = 0;                     // index into Document::pools
  std::vector<Persistence> persistence;  // empty: each connection is balanced on its own. Cookies
                                         // and headers (mode splice only) before the source, which
                                         // is the last
  Table table;                           // with mode splice only; there when a cookie is learned
  Timeouts timeouts;
  OnNoBackend on_no_backend = OnNoBackend::reset;  // splice: default unavailable; nat: reset
  Unavailable unavailable;                         // used with OnNoBackend::unavailable
  HeadLimits limits;                               // used with mode splice
  Forwarded forwarded = Forwarded::none;           // nat: none
  bool redispatch = true;                          // nat: true
  uint32_t retries = 3;      // splice: of the backend that a client is bound to; 0 .. 60
  bool session_log = false;  // one line a connection; nat: false
  int line = 0;
};

// Where somebody may ask: an address with a port, or a UNIX socket.
struct Listen {
  IpAddress address;  // unspecified: all of its family
  uint16_t port = 0;  // 1 .. 65535
  std::string path;   // absolute, 1 .. kMaxSocketPath octets; empty: no UNIX socket
  bool operator==(const Listen&) const = default;
  std::string to_string() const;  // "127.0.0.1:9817", "[::1]:9817", "unix:/run/limpet/metrics"
};
constexpr uint32_t kMaxListen = 8;
constexpr size_t kMaxSocketPath = 107;

// The log of requests and flows.
struct Log {
  enum class To : uint8_t { nowhere, error_output, unix_socket, file } to = To::nowhere;
  enum class Format : uint8_t { text, json } format = Format::text;
  std::string path;       // absolute; of a socket at most kMaxSocketPath octets
  double sample = 1;      // of requests and flows; above 0, at most 1
  uint32_t rate = 10000;  // lines a second, 1 .. kMaxLogRate
  bool operator==(const Log&) const = default;
  bool on() const { return to != To::nowhere; }
  std::string place() const;  // as it is written: "stderr", "unix:/dev/log", "file:/var/log/limpet"
};
constexpr uint32_t kMaxLogRate = 1000000;

struct Document {
  std::string file;
  std::vector<std::string> eal;   // empty too when one of its words could not be read
  std::vector<Place> eal_places;  // of each word
  Poll poll = Poll::adaptive;
  Capacity capacity;
  std::vector<Port> ports;
  std::vector<Route> routes;
  std::vector<Pool> pools;
  std::vector<Service> services;
  std::vector<Listen> metrics;  // at most kMaxListen, each once; empty: nobody can ask
  Log log;
  std::string cookie_keys_file;  // absolute; empty when no service seals a cookie
  Place cookie_keys_place;       // of its setting; line 0: the default
};

}  // namespace limpet::config
