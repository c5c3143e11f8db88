// What a valid file becomes: values, defaults, and names resolved to indices. What is refused
// stands in config/invalid.
#include "limpet/config/document.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include "sample.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

IpAddress ip(const char* text) {
  return *IpAddress::parse(text);
}

TEST(Document, fills_in_every_default) {
  const Document d = Sample().document();
  EXPECT_EQ(d.file, "t.cfg");
  EXPECT_TRUE(d.eal.empty());
  EXPECT_EQ(d.poll, Poll::adaptive);
  EXPECT_EQ(d.capacity.flows, 1000000u);
  EXPECT_EQ(d.capacity.held_packets, 16384u);
  EXPECT_EQ(d.ports[0].mtu, 1500);
  EXPECT_EQ(d.pools[0].maglev_size, 65537u);
  EXPECT_EQ(d.pools[0].source_port_first, 1024);
  EXPECT_EQ(d.pools[0].source_port_last, 65535);
  EXPECT_EQ(d.pools[0].backends[0].weight, 1u);
  const Health& health = d.pools[0].health;
  EXPECT_EQ(health.type, HealthType::tcp);
  EXPECT_EQ(health.interval, 1s);
  EXPECT_EQ(health.timeout, 500ms);
  EXPECT_EQ(health.rise, 2u);
  EXPECT_EQ(health.fall, 3u);
  EXPECT_EQ(health.port, 0);
  const Service& service = d.services[0];
  EXPECT_EQ(service.protocol, Protocol::tcp);
  EXPECT_EQ(service.mode, Forwarding::nat);
  EXPECT_TRUE(service.persistence.empty());
  EXPECT_EQ(service.timeouts.connect, 10s);
  EXPECT_EQ(service.timeouts.idle, 5min);
  EXPECT_EQ(service.timeouts.half_closed, 2min);
  EXPECT_EQ(service.timeouts.time_wait, 2s);
  EXPECT_TRUE(service.timeouts.tells);
}

TEST(Document, keeps_every_value_given) {
  Sample s;
  s.process =
      "eal = ( \"--lcores\", \"0@0\" ); poll = \"spin\";"
      "capacity = { flows = 2048; held_packets = 128; };\n";
  s.front = "mtu = 9000;";
  s.pool =
      "maglev_size = 251; source_ports = [ 2000, 3000 ]; source_addresses = [ \"10.2.0.200\" ];"
      "health = { type = \"https\"; uri = \"/up?x=1\"; host = \"www.example.org:443\";"
      "  expect = [ \"200\", \"301-302, 404\" ]; verify = true; port = 8443; interval = \"2s\";"
      "  timeout = \"2s\"; rise = 1; fall = 100; };";
  s.backend = "weight = 256;";
  s.service =
      "protocol = \"tcp\"; persistence = ( { type = \"source\"; prefix4 = 24; prefix6 = 48; } );"
      "timeouts = { connect = \"1s\"; idle = \"7d\"; half_closed = \"100ms\"; time_wait = \"1m\"; "
      "on_expiry = \"silent\"; };";
  const Document d = s.document();
  EXPECT_EQ(d.eal, (std::vector<std::string>{"--lcores", "0@0"}));
  EXPECT_EQ(d.poll, Poll::spin);
  EXPECT_EQ(d.capacity.flows, 2048u);
  EXPECT_EQ(d.capacity.held_packets, 128u);
  EXPECT_EQ(d.ports[0].name, "front");
  EXPECT_EQ(d.ports[0].device, "net_ring0");
  EXPECT_EQ(d.ports[0].mtu, 9000);
  EXPECT_EQ(d.ports[0].addresses[0], (Prefix{ip("10.1.0.254"), 24}));
  EXPECT_EQ(d.ports[0].addresses[1], (Prefix{ip("fd00:1::254"), 64}));
  const Pool& pool = d.pools[0];
  EXPECT_EQ(pool.maglev_size, 251u);
  EXPECT_EQ(pool.source_port_first, 2000);
  EXPECT_EQ(pool.source_port_last, 3000);
  EXPECT_EQ(pool.source_addresses, std::vector{ip("10.2.0.200")});
  EXPECT_EQ(pool.health.type, HealthType::https);
  EXPECT_EQ(pool.health.uri, "/up?x=1");
  EXPECT_EQ(pool.health.host, "www.example.org:443");
  ASSERT_EQ(pool.health.expect.size(), 3u);
  EXPECT_EQ(pool.health.expect[0].first, 200);
  EXPECT_EQ(pool.health.expect[0].last, 200);
  EXPECT_EQ(pool.health.expect[1].first, 301);
  EXPECT_EQ(pool.health.expect[1].last, 302);
  EXPECT_EQ(pool.health.expect[2].first, 404);
  EXPECT_TRUE(pool.health.verify);
  EXPECT_EQ(pool.health.port, 8443);
  EXPECT_EQ(pool.health.interval, 2s);
  EXPECT_EQ(pool.health.timeout, 2s);
  EXPECT_EQ(pool.health.rise, 1u);
  EXPECT_EQ(pool.health.fall, 100u);
  EXPECT_EQ(pool.backends[0].name, "s0");
  EXPECT_EQ(pool.backends[0].address, ip("10.2.0.10"));
  EXPECT_EQ(pool.backends[0].port, 80);
  EXPECT_EQ(pool.backends[0].weight, 256u);
  EXPECT_EQ(pool.backends[0].line, 9);
  const Service& service = d.services[0];
  EXPECT_EQ(service.vip, ip("10.1.0.100"));
  ASSERT_EQ(service.persistence.size(), 1u);
  EXPECT_EQ(std::get<SourceSettings>(service.persistence[0]).prefix4, 24);
  EXPECT_EQ(std::get<SourceSettings>(service.persistence[0]).prefix6, 48);
  EXPECT_EQ(service.timeouts.connect, 1s);
  EXPECT_EQ(service.timeouts.idle, 168h);
  EXPECT_EQ(service.timeouts.half_closed, 100ms);
  EXPECT_EQ(service.timeouts.time_wait, 1min);
  EXPECT_FALSE(service.timeouts.tells);
}

TEST(Document, resolves_pools_by_name) {
  Sample s;
  s.pools =
      ", { name = \"a\"; backends = ( { name = \"x\"; address = \"10.2.0.11\"; port = 1; } ); }";
  s.more = ", { name = \"b\"; vip = \"10.1.0.100\"; port = 81; pool = \"a\"; }";
  const Document d = s.document();
  EXPECT_EQ(d.services[0].pool, 0u);
  EXPECT_EQ(d.services[1].pool, 1u);
}

TEST(Sources, are_by_default_the_addresses_of_the_port_that_reaches_the_backend) {
  const Document d = Sample().document();
  EXPECT_EQ(d.pools[0].backends[0].reached_by, 1u);
  EXPECT_EQ(d.pools[0].source_addresses, (std::vector{ip("10.2.0.254"), ip("10.2.0.253")}));
  EXPECT_EQ(d.pools[0].backends[0].sources, d.pools[0].source_addresses);
}

TEST(Sources, of_backends_behind_different_ports_are_each_port_s_own) {
  Sample s;
  s.backends = ", { name = \"s1\"; address = \"10.1.0.10\"; port = 80; }";
  const Document d = s.document();
  const Pool& pool = d.pools[0];
  EXPECT_EQ(pool.backends[1].reached_by, 0u);
  EXPECT_EQ(pool.backends[1].sources, std::vector{ip("10.1.0.254")});
  EXPECT_EQ(pool.source_addresses,
            (std::vector{ip("10.2.0.254"), ip("10.2.0.253"), ip("10.1.0.254")}));
}

TEST(Sources, of_an_ipv6_pool_are_ipv6) {
  Sample s;
  s.pools =
      ", { name = \"six\"; backends = ( { name = \"x\"; address = \"fd00:2::11\"; port = 1; } ); }";
  EXPECT_EQ(s.document().pools[1].source_addresses, std::vector{ip("fd00:2::254")});
}

TEST(Sources, follow_the_longest_route) {
  Sample s;
  s.routes =
      "{ to = \"0.0.0.0/0\"; via = \"10.1.0.1\"; }, { to = \"10.7.0.0/16\"; via = \"10.2.0.1\"; },"
      "{ to = \"10.7.7.7\"; via = \"10.1.0.2\"; }";
  s.backends =
      ", { name = \"far\"; address = \"192.0.2.1\"; port = 80; }"
      ", { name = \"rack\"; address = \"10.7.0.1\"; port = 80; }"
      ", { name = \"host\"; address = \"10.7.7.7\"; port = 80; }";
  const Document d = s.document();
  EXPECT_EQ(d.routes[0].port, 0u);
  EXPECT_EQ(d.routes[1].port, 1u);
  EXPECT_EQ(d.routes[2].to.length, 32);
  const uint32_t reached_by[] = {1, 0, 1, 0};
  for (size_t i = 0; i < 4; ++i)
    EXPECT_EQ(d.pools[0].backends[i].reached_by, reached_by[i]) << d.pools[0].backends[i].name;
  EXPECT_EQ(d.pools[0].backends[1].sources, std::vector{ip("10.1.0.254")});
}

TEST(Sources, may_be_the_address_of_any_port_of_ours) {
  Sample s;
  s.pool = "source_addresses = [ \"10.1.0.254\" ];";
  EXPECT_EQ(s.document().pools[0].backends[0].sources, std::vector{ip("10.1.0.254")});
}

TEST(Ports, name_pci_devices_in_their_long_form) {
  for (const char* device : {"0000:0a:00.1", "0a:00.1", "0A:00.1", "0000:0A:00.1"}) {
    Sample s;
    std::string text = s.text();
    text.replace(text.find("net_ring0"), 9, device);
    const Loaded loaded = load_text(text, "t.cfg");
    ASSERT_TRUE(loaded.ok()) << loaded.problems[0].to_string();
    EXPECT_EQ(loaded.document.ports[0].device, "0000:0a:00.1");
  }
}

TEST(Ports, may_be_point_to_point) {
  std::string text = Sample().text();
  text.replace(text.find("10.1.0.254/24"), 13, "10.1.0.100/31");
  text.replace(text.find("fd00:1::254/64"), 14, "fd00:1::/127");
  text.replace(text.find("\"10.1.0.100\""), 12, "\"10.1.0.102\"");
  const Loaded loaded = load_text(text, "t.cfg");
  EXPECT_TRUE(loaded.ok()) << loaded.problems[0].to_string();
}

TEST(HealthDefault, is_none_for_a_pool_that_only_udp_services_use) {
  Sample s;
  s.service = "protocol = \"udp\";";
  EXPECT_EQ(s.document().pools[0].health.type, HealthType::none);
  EXPECT_EQ(s.document().services[0].timeouts.idle, 30s);
  s.more = ", { name = \"b\"; vip = \"10.1.0.100\"; port = 80; pool = \"web\"; }";
  EXPECT_EQ(s.document().pools[0].health.type, HealthType::tcp) << "shared with a TCP service";
  s.more = "";
  s.pool = "health = { type = \"http\"; };";
  EXPECT_EQ(s.document().pools[0].health.type, HealthType::http) << "as given";
}

TEST(HealthProxy, is_what_the_services_of_the_pool_send) {
  Sample s;
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::none);
  s.service = "mode = \"splice\"; forwarded = \"proxy-v1\";";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v1);
  s.service = "mode = \"splice\"; forwarded = \"proxy-v2\";";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v2);
  s.service = "mode = \"splice\"; forwarded = \"x-forwarded-for\";";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::none);
}

TEST(HealthProxy, is_none_at_a_port_of_its_own_and_otherwise_as_given) {
  Sample s;
  s.service = "mode = \"splice\"; forwarded = \"proxy-v1\";";
  s.pool = "health = { type = \"http\"; port = 8080; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::none);
  s.pool = "health = { type = \"http\"; port = 8080; proxy = \"v1\"; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v1);
  s.pool = "health = { type = \"http\"; proxy = \"none\"; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::none);
  s.pool = "health = { proxy = \"v2\"; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v2);
  s.pool = "health = { proxy = \"auto\"; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v1);
}

TEST(HealthProxy, asks_when_the_services_of_a_pool_differ) {
  Sample s;
  s.service = "mode = \"splice\"; forwarded = \"proxy-v1\";";
  s.more = ", { name = \"b\"; vip = \"10.1.0.100\"; port = 81; pool = \"web\"; }";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::none) << "a bare connection says none";
  s.pool = "health = { type = \"http\"; };";
  EXPECT_EQ(s.problems(),
            "pools[0].health: services \"web\" and \"b\" of this pool differ in the PROXY header "
            "that they send, so checks cannot follow them; expected proxy = \"none\", \"v1\" or "
            "\"v2\" in health, or a port of its own\n");
  s.pool = "health = { type = \"http\"; port = 8080; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::none);
  s.pool = "health = { type = \"http\"; proxy = \"v1\"; };";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v1);
  s.pool = "health = { type = \"http\"; };";
  s.more =
      ", { name = \"b\"; vip = \"10.1.0.100\"; port = 80; pool = \"web\"; protocol = \"udp\"; }";
  EXPECT_EQ(s.document().pools[0].health.proxy, HealthProxy::v1) << "datagrams are not checked so";
}

TEST(HealthHost, is_a_name_or_an_address_perhaps_with_a_port) {
  for (const char* host : {"a", "example.org", "example.org.", "my_host-1", "10.1.0.1:8443",
                           "[fd00:2::10]", "[::1]:443", "a:65535"}) {
    Sample s;
    s.pool = std::string("health = { type = \"http\"; host = \"") + host + "\"; };";
    EXPECT_EQ(s.document().pools[0].health.host, host);
  }
}

TEST(HealthDefault, of_the_timeout_never_exceeds_the_interval) {
  Sample s;
  s.pool = "health = { interval = \"200ms\"; };";
  EXPECT_EQ(s.document().pools[0].health.timeout, 200ms);
}

TEST(Neutral, values_of_settings_of_later_versions_are_accepted) {
  Sample s;
  s.pool = "scheduler = \"maglev\"; load_factor = 0.0; slow_start = \"0\";";
  s.backend = "buddy = \"\"; max_connections = 0; backup = false;";
  s.service =
      "mode = \"nat\"; forwarded = \"none\"; on_no_backend = \"reset\"; redispatch = true;"
      "persistence = ();";
  s.document();
}

TEST(Limits, are_inclusive_at_both_ends) {
  for (const char* capacity :
       {"{ flows = 1024; held_packets = 64; }", "{ flows = 134217728; held_packets = 1048576; }"}) {
    Sample s;
    s.process = std::string("capacity = ") + capacity + ";";
    s.document();
  }
  for (const char* pool :
       {"maglev_size = 251; source_ports = [ 1, 1 ];",
        "maglev_size = 5000011; source_ports = ( 65535, 65535 );",
        "health = { interval = \"10ms\"; timeout = \"1ms\"; rise = 1; fall = 1; port = 1; };",
        "health = { interval = \"1h\"; timeout = \"1h\"; rise = 100; fall = 100; port = 65535; };",
        "health = { type = \"http\"; expect = 100; };",
        "health = { type = \"http\"; expect = ( 599, \"100-599\" ); };"}) {
    Sample s;
    s.pool = pool;
    s.document();
  }
  for (const char* service :
       {"persistence = ( { type = \"source\"; prefix4 = 1; prefix6 = 1; } );"
        "timeouts = { connect = \"100ms\"; idle = \"100ms\"; time_wait = \"100ms\"; };",
        "persistence = ( { type = \"source\"; prefix4 = 32; prefix6 = 128; } );"
        "timeouts = { connect = \"10m\"; half_closed = \"1d\"; time_wait = \"10m\"; };"}) {
    Sample s;
    s.service = service;
    s.document();
  }
  for (const char* front : {"mtu = 1280;", "mtu = 9600;"}) {
    Sample s;
    s.front = front;
    s.document();
  }
  Sample s;
  s.backends =
      ", { name = \"s1\"; address = \"10.2.0.11\"; port = 65535; weight = 0; }"
      ", { name = \"s2\"; address = \"10.2.0.11\"; port = 1; weight = 256; }";
  s.document();
}

TEST(Limits, on_the_number_of_backends_follow_the_table_and_the_process) {
  const auto with = [](int backends, const std::string& pool) {
    Sample s;
    s.pool = pool;
    for (int i = 1; i < backends; ++i)
      s.backends += ", { name = \"b" + std::to_string(i) +
                    "\"; address = \"10.2.0.10\"; port = " + std::to_string(1000 + i) + "; }";
    return s.problems();
  };
  EXPECT_EQ(with(250, "maglev_size = 251;"), "");
  EXPECT_EQ(with(251, "maglev_size = 251;"),
            "pools[0].maglev_size: 251 entries for 251 backends; expected more entries than "
            "backends\n");
  EXPECT_EQ(with(4097, ""), "pools[0].backends: has 4097 backends; expected at most 4096\n");
}

TEST(Limits, on_the_sum_over_all_pools_are_kept) {
  const auto with = [](size_t pools, size_t backends, size_t sources) {
    std::string text =
        "ports = ( { name = \"p\"; device = \"d\"; addresses = [ \"10.0.0.1/8\" ]; } );\npools = "
        "( ";
    for (size_t i = 0; i < pools; ++i) {
      text += fmt::format("{}{{ name = \"p{}\"; source_addresses = [ ", i == 0 ? "" : ", ", i);
      for (size_t j = 0; j < sources; ++j)
        text += fmt::format("{}\"10.1.{}.{}\"", j == 0 ? "" : ", ", i, j + 1);
      text += " ]; backends = ( ";
      for (size_t j = 0; j < backends; ++j)
        text += fmt::format("{}{{ name = \"b{}\"; address = \"10.2.0.1\"; port = {}; }}",
                            j == 0 ? "" : ", ", j, j + 1);
      text += " ); }";
    }
    text += " );\nservices = ( { name = \"s\"; vip = \"10.3.0.1\"; port = 1; pool = \"p0\"; } );\n";
    const Loaded loaded = load_text(text, "t.cfg");
    return loaded.ok() ? "" : loaded.problems[0].to_string();
  };
  EXPECT_EQ(with(4, 4096, 1), "");
  EXPECT_EQ(with(5, 4096, 1), "t.cfg:2: pools: 20480 backends in all; expected at most 16384");
  EXPECT_EQ(with(64, 1, 64), "");
  EXPECT_EQ(with(65, 1, 64),
            "t.cfg:2: pools: 4160 different source addresses in all; expected at most 4096");
}

TEST(MaglevSize, is_prime) {
  const auto with = [](uint32_t size) {
    Sample s;
    s.pool = "maglev_size = " + std::to_string(size) + ";";
    return s.problems();
  };
  for (const uint32_t prime : {257u, 65537u, 999983u}) EXPECT_EQ(with(prime), "");
  for (const uint32_t product : {256u, 289u, 253u, 66049u}) EXPECT_NE(with(product), "") << product;
}

TEST(Problems, one_mistake_is_reported_once) {
  std::string text = Sample().text();
  text.replace(text.find("\"10.2.0.254/24\""), 15, "\"10.2.0.999/24\"");
  text.replace(text.find("\"10.2.0.253/24\""), 15, "\"10.2.0.998/24\"");
  const Loaded loaded = load_text(text, "t.cfg");
  ASSERT_EQ(loaded.problems.size(), 2u) << "not that the backend is unreachable as well";
  EXPECT_EQ(loaded.problems[0].path, "ports[1].addresses[0]");
  EXPECT_EQ(loaded.problems[1].path, "ports[1].addresses[1]");
}

TEST(Problems, print_with_file_line_and_path_where_there_are_any) {
  EXPECT_EQ((Problem{"f.cfg", 3, "a.b", "x; expected y"}).to_string(),
            "f.cfg:3: a.b: x; expected y");
  EXPECT_EQ((Problem{"f.cfg", 3, "", "x; expected y"}).to_string(), "f.cfg:3: x; expected y");
  EXPECT_EQ((Problem{"f.cfg", 0, "", "x; expected y"}).to_string(), "f.cfg: x; expected y");
}

}  // namespace
}  // namespace limpet::config
