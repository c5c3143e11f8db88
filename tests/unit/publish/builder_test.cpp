// What a snapshot says for a given document.
#include "limpet/publish/builder.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "sample.h"

namespace limpet::publish {
namespace {

using namespace std::chrono_literals;
using dataplane::kNoSlot;
using dataplane::Snapshot;

Built built_from(const std::string& text, unsigned workers = 1,
                 const flow::Toeplitz* toeplitz = nullptr, const Built* previous = nullptr) {
  const config::Document d = document(text);
  const auto ports = ports_of(d, workers);
  BuildInput input;
  input.document = &d;
  input.ports = ports;
  input.workers = workers;
  input.toeplitz = toeplitz;
  input.serial = 7;
  if (previous != nullptr) input.previous = previous->owned.snapshot.get();
  Result<Built> built = build(previous != nullptr ? previous->slots : Slots(), input);
  EXPECT_TRUE(built.ok()) << built.error();
  return std::move(*built);
}

TEST(Builder, routes_are_the_networks_and_the_configured_ones_longest_first) {
  const Built b = built_from(kSample);
  const Snapshot& s = *b.owned.snapshot;
  EXPECT_EQ(s.serial, 7u);
  ASSERT_EQ(s.routes.size(), 4u);
  EXPECT_EQ(s.routes[0].to.to_string(), "10.1.0.0/24");
  EXPECT_TRUE(s.routes[0].via.is_unspecified());
  EXPECT_EQ(s.routes[1].to.to_string(), "10.2.0.0/24");
  EXPECT_EQ(s.routes[1].port, 1);
  EXPECT_EQ(s.routes[2].to.to_string(), "10.9.0.0/16");
  EXPECT_EQ(s.routes[2].via, ip("10.2.0.1"));
  EXPECT_EQ(s.routes[2].port, 1);
  EXPECT_EQ(s.routes[3].to.to_string(), "0.0.0.0/0");
  EXPECT_EQ(s.routes[3].port, 0);
  EXPECT_EQ(s.route(ip("10.9.3.4")).address, ip("10.2.0.1"));
  EXPECT_EQ(s.route(ip("10.2.0.77")).address, ip("10.2.0.77"));
  EXPECT_EQ(s.route(ip("8.8.8.8")).address, ip("10.1.0.1"));
  EXPECT_FALSE(s.route(ip("fd00::1")).ok);
}

TEST(Builder, addresses_are_found_by_what_they_are_to_us) {
  const Built b = built_from(kSample);
  const Snapshot& s = *b.owned.snapshot;
  const dataplane::Local* vip = s.locals.find(ip("10.1.0.100"));
  ASSERT_NE(vip, nullptr);
  EXPECT_EQ(vip->vip, 0) << "one number for both services of the address";
  EXPECT_EQ(vip->source, kNoSlot);
  EXPECT_EQ(vip->port, kNoSlot);
  EXPECT_EQ(s.locals.service(0, 6, be16::from(80)), 0);
  EXPECT_EQ(s.locals.service(0, 17, be16::from(7)), 1);
  EXPECT_EQ(s.locals.service(0, 17, be16::from(80)), kNoSlot);

  const dataplane::Local* back = s.locals.find(ip("10.2.0.254"));
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->source, 0);
  EXPECT_EQ(back->port, 1);
  const dataplane::Local* front = s.locals.find(ip("10.1.0.254"));
  ASSERT_NE(front, nullptr);
  EXPECT_EQ(front->source, kNoSlot);
  EXPECT_EQ(front->port, 0);
  EXPECT_EQ(s.locals.find(ip("10.2.0.10")), nullptr);
}

TEST(Builder, each_vip_address_has_a_number_of_its_own) {
  const Built b = built_from(
      with(kSample, "vip = \"10.1.0.100\"; port = 7", "vip = \"10.1.0.101\"; port = 80"));
  const Snapshot& s = *b.owned.snapshot;
  EXPECT_EQ(s.locals.find(ip("10.1.0.100"))->vip, 0);
  EXPECT_EQ(s.locals.find(ip("10.1.0.101"))->vip, 1);
  EXPECT_EQ(s.locals.service(1, 17, be16::from(80)), 1);
}

TEST(Builder, a_service_has_its_pool_its_policy_and_its_timeouts) {
  const Built b = built_from(kSample);
  const dataplane::ServiceEntry& web = b.owned.snapshot->services[0];
  EXPECT_EQ(web.name, "web");
  EXPECT_EQ(web.vip, ip("10.1.0.100"));
  EXPECT_EQ(web.port.host(), 80);
  EXPECT_EQ(web.protocol, 6);
  EXPECT_TRUE(web.used && web.configured);
  EXPECT_EQ(b.owned.snapshot->pools[web.pool].name, "web");
  EXPECT_EQ(web.timeouts.idle, to_ticks(std::chrono::seconds(10)));
  EXPECT_EQ(web.timeouts.connect, to_ticks(std::chrono::seconds(10)));
  EXPECT_EQ(web.timeouts.half_closed, to_ticks(std::chrono::minutes(2)));
  EXPECT_EQ(web.timeouts.time_wait, to_ticks(std::chrono::seconds(2)));
  EXPECT_EQ(web.timeouts.response, web.timeouts.idle) << "its ceiling";
  EXPECT_EQ(web.timeouts.keep_alive, web.timeouts.idle);
  EXPECT_EQ(web.timeouts.tunnel, to_ticks(std::chrono::hours(1)));
  EXPECT_TRUE(web.timeouts.tells);
  ASSERT_EQ(web.policy.end() - web.policy.begin(), 1);
  EXPECT_EQ(std::get<affinity::SourceKey>(*web.policy.begin()).prefix4, 24);
  EXPECT_EQ(web.policy.seed(), affinity::seed_of("web"));
  const dataplane::ServiceEntry& echo = b.owned.snapshot->services[1];
  EXPECT_EQ(echo.policy.begin(), echo.policy.end());
  EXPECT_EQ(echo.timeouts.idle, to_ticks(std::chrono::seconds(30)));
}

TEST(Builder, the_table_is_that_of_names_and_weights) {
  const Built b = built_from(kSample);
  const dataplane::PoolEntry& web = b.owned.snapshot->pools[0];
  const std::vector<balance::MaglevMember> members = {{"s0", 1}, {"s1", 2}};
  const balance::Maglev expected(members, 65537);
  ASSERT_EQ(web.maglev.size(), expected.size());
  EXPECT_TRUE(
      std::equal(expected.table().begin(), expected.table().end(), web.maglev.table().begin()));
  EXPECT_EQ(web.members, (std::vector<uint16_t>{0, 1}));
}

TEST(Builder, a_changed_weight_changes_the_table_and_no_other_does) {
  const Built first = built_from(kSample);
  const Built second = built_from(with(kSample, "weight = 2", "weight = 5"), 1, nullptr, &first);
  EXPECT_NE(first.owned.snapshot->pools[0].maglev.entries(1),
            second.owned.snapshot->pools[0].maglev.entries(1));
  EXPECT_EQ(second.owned.snapshot->pools[1].maglev.size(), 65537u);
}

TEST(Builder, turns_are_each_worker_s_own_and_go_on_while_the_pool_stays) {
  const std::string text =
      with(kSample, "{ name = \"web\";\n", "{ name = \"web\"; scheduler = \"roundrobin\";\n");
  const Built first = built_from(text, 2);
  const dataplane::PoolEntry& web = first.owned.snapshot->pools[0];
  EXPECT_EQ(web.scheduler_type(), balance::SchedulerType::roundrobin);
  ASSERT_EQ(web.turns.size(), 2u);
  EXPECT_NE(web.turns[0], web.turns[1]);
  EXPECT_TRUE(first.owned.snapshot->pools[1].turns.empty());
  const Built same = built_from(text, 2, nullptr, &first);
  EXPECT_EQ(same.owned.snapshot->pools[0].turns, web.turns);
  const Built heavier = built_from(with(text, "weight = 2", "weight = 5"), 2, nullptr, &same);
  EXPECT_NE(heavier.owned.snapshot->pools[0].turns[0], web.turns[0]);
  std::vector<int> got(2);
  for (int i = 0; i < 60; ++i)
    ++got[heavier.owned.snapshot->pools[0].scheduler(1).pick(0, [](uint16_t) { return true; })];
  EXPECT_EQ(got, (std::vector<int>{10, 50})) << "by weight";
  const Built hashed = built_from(kSample, 2, nullptr, &heavier);
  EXPECT_TRUE(hashed.owned.snapshot->pools[0].turns.empty());
}

// Would fail if the key did not hold the size, or the copy took the table of another pool.
TEST(Builder, tables_follow_their_pool_when_pools_change_places) {
  const Built first = built_from(kSample);
  const std::string other_order = with(
      with(with(kSample, "{ name = \"web\";\n", "{ name = \"tmp\"; maglev_size = 1009;\n"),
           "{ name = \"echo\"; health = { type = \"none\"; };\n    backends = ( { name = "
           "\"e0\"; address = \"10.2.0.10\"; port = 7; } ); }",
           "{ name = \"web\"; backends = ( { name = \"s0\"; address = \"10.2.0.10\"; port = 80; "
           "}, { name = \"s1\"; address = \"10.2.0.11\"; port = 80; weight = 2; } ); }"),
      "pool = \"echo\"", "pool = \"tmp\"");
  const Built second = built_from(other_order, 1, nullptr, &first);
  const Snapshot& s = *second.owned.snapshot;
  EXPECT_EQ(s.pools[0].maglev.size(), 1009u);
  ASSERT_EQ(s.pools[1].maglev.size(), 65537u);
  EXPECT_TRUE(std::equal(s.pools[1].maglev.table().begin(), s.pools[1].maglev.table().end(),
                         first.owned.snapshot->pools[0].maglev.table().begin()));
  EXPECT_EQ(s.pools[0].members, (std::vector<uint16_t>{3, 4}));
  EXPECT_EQ(s.pools[1].members, (std::vector<uint16_t>{0, 1}));
}

TEST(Builder, every_worker_has_ports_of_its_own_towards_each_backend) {
  const flow::Toeplitz toeplitz(flow::kDefaultRssKey);
  const Built b = built_from(kSample, 3, &toeplitz);
  for (const dataplane::BackendEntry& backend : b.owned.snapshot->backends) {
    ASSERT_EQ(backend.sources.size(), 1u);
    const auto& ports = backend.sources[0].ports;
    ASSERT_EQ(ports.size(), 3u);
    uint32_t sum = 0;
    for (const flow::SourcePorts* p : ports) {
      ASSERT_NE(p, nullptr);
      sum += p->capacity();
    }
    EXPECT_EQ(sum, 65536u - 1024u) << "each port belongs to exactly one worker";
  }
}

TEST(Builder, a_granted_port_brings_the_answer_to_its_worker) {
  const flow::Toeplitz toeplitz(flow::kDefaultRssKey);
  const Built b = built_from(kSample, 2, &toeplitz);
  const dataplane::BackendEntry& backend = b.owned.snapshot->backends[1];
  for (unsigned w = 0; w < 2; ++w) {
    const auto grant = backend.sources[0].ports[w]->take(1);
    ASSERT_TRUE(grant.has_value());
    const uint32_t hash =
        toeplitz.hash(backend.address, ip("10.2.0.254"), backend.port, grant->port);
    EXPECT_EQ((flow::Reta{128, 2}.owner(hash)), w);
  }
}

TEST(Builder, source_ports_that_need_more_memory_than_there_is_are_refused) {
  const config::Document d = document(kSample);
  const auto ports = ports_of(d, 2);
  const flow::Toeplitz toeplitz(flow::kDefaultRssKey);
  BuildInput input;
  input.document = &d;
  input.ports = ports;
  input.workers = 2;
  input.toeplitz = &toeplitz;
  // Three backends, one source address, two workers.
  const uint64_t needed = 3 * flow::SourcePorts::bytes(64512, 2);
  EXPECT_GT(needed, 3u * 64512u * 6u);
  input.memory = needed - 1;
  const Result<Built> refused = build(Slots(), input);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(
      refused.error(),
      "not enough memory for the source ports of 3 pairs of backend and source address (about "
      "1 MB, 1 MB are left): fewer source_addresses, narrower source_ports, or fewer backends");
  input.memory = needed;
  const Result<Built> built = build(Slots(), input);
  ASSERT_TRUE(built.ok()) << built.error();
  input.memory = 0;
  EXPECT_TRUE(build(built->slots, input).ok()) << "what is there needs nothing new";
}

TEST(Builder, announced_is_what_clients_and_backends_send_to_where_they_are) {
  const std::string config =
      with(with(kSample, "{ name = \"echo\"; health",
                "{ name = \"echo\"; source_addresses = [ \"10.2.0.200\" ]; health"),
           "name = \"echo\"; vip = \"10.1.0.100\"", "name = \"echo\"; vip = \"192.0.2.1\"");
  const Built b = built_from(config);
  std::vector<std::pair<uint16_t, std::string>> seen;
  for (const dataplane::Announcement& a : b.owned.snapshot->announcements) {
    seen.emplace_back(a.port, a.address.to_string());
    EXPECT_EQ(a.since, 7u);
  }
  EXPECT_EQ(seen, (std::vector<std::pair<uint16_t, std::string>>{
                      {0, "10.1.0.100"}, {1, "10.2.0.200"}, {1, "10.2.0.254"}}))
      << "192.0.2.1 is in the network of no port: it is routed to us";
}

TEST(Builder, an_announced_address_keeps_the_serial_of_its_first_snapshot) {
  const Built first = built_from(kSample);
  const config::Document d = document(with(kSample, "name = \"echo\"; vip = \"10.1.0.100\"",
                                           "name = \"echo\"; vip = \"10.1.0.101\""));
  const auto ports = ports_of(d, 1);
  BuildInput input;
  input.document = &d;
  input.ports = ports;
  input.serial = 9;
  input.previous = first.owned.snapshot.get();
  const Result<Built> second = build(first.slots, input);
  ASSERT_TRUE(second.ok()) << second.error();
  std::map<std::string, uint64_t> since;
  for (const dataplane::Announcement& a : second->owned.snapshot->announcements)
    since[a.address.to_string()] = a.since;
  EXPECT_EQ(since, (std::map<std::string, uint64_t>{
                       {"10.1.0.100", 7}, {"10.1.0.101", 9}, {"10.2.0.254", 7}}));
}

TEST(Builder, a_worker_without_any_port_is_told_by_a_null_and_a_warning) {
  const flow::Toeplitz toeplitz(flow::kDefaultRssKey);
  const Built b = built_from(with(kSample, "{ name = \"echo\"; health",
                                  "{ name = \"echo\"; source_ports = [ 5000, 5000 ]; health"),
                             2, &toeplitz);
  const auto& ports = b.owned.snapshot->backends[2].sources[0].ports;
  EXPECT_EQ((ports[0] == nullptr) + (ports[1] == nullptr), 1);
  ASSERT_EQ(b.warnings.size(), 1u);
  EXPECT_NE(
      b.warnings[0].find("has no source port in 5000-5000 from 10.2.0.254 towards 10.2.0.10:7"),
      std::string::npos)
      << b.warnings[0];
}

constexpr const char* kCookies =
    "protocol = \"tcp\"; pool = \"web\"; mode = \"splice\"; forwarded = \"proxy-v1\"; "
    "persistence = ( { type = \"cookie\"; mode = \"learn\"; session_name = \"JSESSIONID\"; }, "
    "{ type = \"cookie\"; mode = \"insert\"; session_name = \"SRV\"; value = \"plain\"; }, "
    "{ type = \"source\"; } ); table = { size = 1000; };";

std::string cookie_sample() {
  return with(with(kSample, "persistence = ( { type = \"source\"; prefix4 = 24; } );", ""),
              "protocol = \"tcp\"; pool = \"web\";", kCookies);
}

const dataplane::SpliceEntry* splice_of(const Built& b) {
  for (const dataplane::ServiceEntry& s : b.owned.snapshot->services)
    if (s.splice != nullptr) return s.splice.get();
  return nullptr;
}

TEST(Builder, a_persistence_list_becomes_rules_in_its_order) {
  const Built b = built_from(cookie_sample(), 1);
  const dataplane::SpliceEntry* e = splice_of(b);
  ASSERT_NE(e, nullptr);
  const dataplane::HttpRules& rules = *e->rules;
  EXPECT_EQ(rules.settings.forwarded, Forwarded::proxy_v1);
  ASSERT_EQ(rules.cookies.size(), 2u);
  EXPECT_EQ(rules.cookies[0].policy.mode(), affinity::CookieMode::learn);
  EXPECT_EQ(rules.cookies[0].entry, 0);
  EXPECT_EQ(rules.cookies[1].policy.name(), "SRV");
  EXPECT_EQ(rules.cookies[1].entry, 1);
  EXPECT_FALSE(rules.cookies[1].after_source);
  EXPECT_TRUE(rules.request.has_value() && rules.response.has_value());
  ASSERT_NE(e->table, nullptr) << "learned cookies are remembered";
  EXPECT_EQ(b.owned.snapshot->tools.size(), 1u) << "one for each worker";
  const dataplane::PoolEntry& pool = b.owned.snapshot->pools[0];
  for (size_t m = 0; m < pool.members.size(); ++m) {
    const dataplane::BackendEntry& backend = b.owned.snapshot->backends[pool.members[m]];
    EXPECT_EQ(backend.pool, 0);
    EXPECT_EQ(backend.member, m);
    EXPECT_EQ(pool.ids.name(static_cast<uint16_t>(m)), backend.name);
  }
}

TEST(Builder, a_cookie_has_by_default_what_keeps_scripts_and_caches_away) {
  const Built b = built_from(cookie_sample(), 1);
  const affinity::CookiePolicy& policy = splice_of(b)->rules->cookies[1].policy;
  std::array<char, affinity::kMaxResponseText> out;
  EXPECT_EQ(policy.response(b.owned.snapshot->pools[0].ids, nullptr, {.member = 0}, out).lines,
            "Set-Cookie: SRV=s0; path=/; HttpOnly\r\nCache-Control: private\r\n");
  EXPECT_TRUE(policy.strips_requests()) << "and from the backend";
}

TEST(Builder, rules_and_table_are_shared_as_long_as_their_settings_stay) {
  const std::string text = cookie_sample();
  const Built first = built_from(text, 1);
  const Built same = built_from(text, 1, nullptr, &first);
  EXPECT_EQ(splice_of(first)->rules, splice_of(same)->rules);
  EXPECT_EQ(splice_of(first)->table, splice_of(same)->table);
  const Built other = built_from(
      with(text, "value = \"plain\";", "value = \"plain\"; path = \"/x\";"), 1, nullptr, &same);
  EXPECT_NE(splice_of(other)->rules, splice_of(same)->rules);
  EXPECT_NE(splice_of(other)->rules->settings, splice_of(same)->rules->settings);
  EXPECT_EQ(splice_of(other)->table, splice_of(same)->table) << "sessions mean what they meant";
}

// A service whose rules change n times; the settings of the n-th time.
std::string nth(unsigned n) {
  return with(cookie_sample(), "value = \"plain\";",
              "value = \"plain\"; attributes = [ \"n=" + std::to_string(n) + "\" ];");
}

TEST(KeptRules, a_reload_keeps_what_it_replaces_and_only_that) {
  const Built first = built_from(cookie_sample(), 1);
  const Built same = built_from(cookie_sample(), 1, nullptr, &first);
  EXPECT_TRUE(same.slots.services[0].kept.empty());
  const Built other = built_from(nth(1), 1, nullptr, &same);
  const dataplane::ServiceEntry& s = other.owned.snapshot->services[0];
  ASSERT_EQ(s.kept.size(), 1u);
  EXPECT_EQ(s.kept[0].splice, same.owned.snapshot->services[0].splice);
  EXPECT_EQ(s.kept[0].counted, 0b111) << "all entries are at their places";
  EXPECT_TRUE(other.owned.snapshot->services[1].kept.empty());
  EXPECT_NE(s.splice->rules->number, s.kept[0].splice->rules->number);
  EXPECT_TRUE(other.slots.services[0].entry.kept.empty()) << "or they would never be freed";
}

TEST(KeptRules, at_most_eight_are_kept_each_with_a_place_of_its_own) {
  Built b = built_from(nth(0), 1);
  std::set<uint32_t> numbers{splice_of(b)->rules->number};
  for (unsigned n = 1; n < 40; ++n) {
    const uint32_t before = splice_of(b)->rules->number;
    b = built_from(nth(n), 1, nullptr, &b);
    const dataplane::ServiceEntry& s = b.owned.snapshot->services[0];
    ASSERT_EQ(s.kept.size(), std::min(n, 8u));
    EXPECT_EQ(s.kept.back().splice->rules->number, before) << "oldest first";
    std::set<size_t> places{dataplane::place_of(s.splice->rules->number)};
    for (const dataplane::KeptRules& k : s.kept) {
      places.insert(dataplane::place_of(k.splice->rules->number));
      EXPECT_NE(k.splice->rules->settings, s.splice->rules->settings);
    }
    EXPECT_EQ(places.size(), s.kept.size() + 1);
    EXPECT_TRUE(numbers.insert(s.splice->rules->number).second) << "no number comes twice";
  }
}

TEST(KeptRules, what_comes_back_is_the_same_object_again) {
  const Built first = built_from(nth(0), 1);
  const Built second = built_from(nth(1), 1, nullptr, &first);
  const Built third = built_from(nth(0), 1, nullptr, &second);
  EXPECT_EQ(splice_of(third)->rules, splice_of(first)->rules);
  const auto& kept = third.owned.snapshot->services[0].kept;
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0].splice->rules, splice_of(second)->rules);
}

TEST(KeptRules, are_those_that_the_service_had_when_it_leaves_mode_splice) {
  const Built first = built_from(cookie_sample(), 1);
  const Built nat = built_from(kSample, 1, nullptr, &first);
  const dataplane::ServiceEntry& s = nat.owned.snapshot->services[0];
  EXPECT_EQ(s.splice, nullptr);
  ASSERT_EQ(s.kept.size(), 1u);
  EXPECT_EQ(s.kept[0].splice->table, splice_of(first)->table) << "sessions are learned there";
  EXPECT_EQ(nat.owned.snapshot->tools.size(), 1u) << "there is something to scan by";
  EXPECT_EQ(s.kept[0].policy.cookies(), 2);
}

TEST(KeptRules, count_where_an_entry_of_theirs_still_stands) {
  const Built first = built_from(cookie_sample(), 1);
  const std::string learned =
      "{ type = \"cookie\"; mode = \"learn\"; session_name = \"JSESSIONID\"; }, ";
  const Built without = built_from(with(cookie_sample(), learned, ""), 1, nullptr, &first);
  EXPECT_EQ(without.owned.snapshot->services[0].kept[0].counted, 0)
      << "SRV is the first now, and the source the second";
  const Built renamed =
      built_from(with(cookie_sample(), "session_name = \"SRV\"", "session_name = \"B\""), 1,
                 nullptr, &without);
  ASSERT_EQ(renamed.owned.snapshot->services[0].kept.size(), 2u);
  EXPECT_EQ(renamed.owned.snapshot->services[0].kept[0].counted, 0b101) << "judged anew each time";
}

TEST(KeptRules, are_crowded_when_a_ninth_would_replace_the_oldest) {
  Built b = built_from(nth(0), 1);
  for (unsigned n = 1; n <= 8; ++n) {
    EXPECT_TRUE(crowded(b.slots, document(nth(n))).empty()) << n;
    b = built_from(nth(n), 1, nullptr, &b);
  }
  EXPECT_EQ(crowded(b.slots, document(nth(9))), std::vector<uint16_t>{0});
  EXPECT_EQ(crowded(b.slots, document(kSample)), std::vector<uint16_t>{0}) << "mode nat";
  EXPECT_TRUE(crowded(b.slots, document(nth(8))).empty()) << "nothing changes";
  EXPECT_TRUE(crowded(b.slots, document(nth(2))).empty()) << "one that is kept is taken again";
  EXPECT_TRUE(
      crowded(b.slots, document(with(nth(9), "10.1.0.100\"; port = 80", "10.1.0.100\"; port = 81")))
          .empty())
      << "another service";
  EXPECT_TRUE(crowded(b.slots, document(with(nth(8), "weight = 2", "weight = 3"))).empty());
}

// The sessions of a table over reloads: one of each entry of the list.
class Tables : public testing::Test {
 protected:
  void reload(const std::string& wanted) {
    last = built_from(wanted, 1, nullptr, &last);
    table = splice_of(last) == nullptr ? nullptr : splice_of(last)->table;
  }
  // Where entry `e` of the list is asked for a session.
  bool has(uint8_t e, std::string_view session) {
    return table->peek(table->key(e, session), now).has_value();
  }
  void put(uint8_t e, std::string_view session) {
    table->assign(table->key(e, session), {.backend = 1, .member = 0}, now);
  }

  const std::string text = cookie_sample();  // learned cookie, cookie, source
  const Instant now{1'000'000'000'000};
  Built last = built_from(text, 1);
  std::shared_ptr<affinity::StickTable> table = splice_of(last)->table;
};

TEST_F(Tables, keep_their_sessions_when_their_settings_change) {
  put(0, "a");
  put(2, "10.0.0.1");
  const auto before = table;
  reload(with(text, "size = 1000;", "size = 1000; expire = \"2h\"; when_full = \"refuse\";"));
  EXPECT_NE(table, before) << "workers may still ask by the former settings";
  EXPECT_TRUE(has(0, "a"));
  EXPECT_TRUE(has(2, "10.0.0.1"));
  EXPECT_EQ(table->settings().when_full, affinity::WhenFull::refuse);
  const auto key = table->key(0, "a");
  EXPECT_TRUE(table->peek(key, now + 115min).has_value());
  EXPECT_FALSE(table->peek(key, now + 125min).has_value());
  EXPECT_FALSE(before->peek(key, now + 115min).has_value()) << "the default is 30 minutes";
  EXPECT_TRUE(last.warnings.empty());
}

TEST_F(Tables, keep_their_sessions_wherever_an_entry_stands) {
  put(0, "a");
  put(2, "a");
  reload(with(text, R"({ type = "cookie"; mode = "learn")",
              R"({ type = "cookie"; mode = "learn"; session_name = "NEW"; },
                 { type = "cookie"; mode = "learn")"));
  EXPECT_FALSE(has(0, "a")) << "another cookie's sessions";
  EXPECT_TRUE(has(1, "a"));
  EXPECT_FALSE(has(2, "a"));
  EXPECT_TRUE(has(3, "a"));
  EXPECT_TRUE(last.warnings.empty());
  put(0, "b");
  reload(text);
  EXPECT_FALSE(has(0, "b"));
  EXPECT_TRUE(has(0, "a"));
  EXPECT_TRUE(has(2, "a"));
}

TEST_F(Tables, say_so_when_the_sessions_of_an_entry_are_lost) {
  const std::string renamed = with(text, "JSESSIONID", "PHPSESSID");
  reload(renamed);
  EXPECT_TRUE(last.warnings.empty()) << "there were none";
  put(0, "a");
  put(2, "a");
  reload(with(renamed, R"({ type = "source"; })", R"({ type = "source"; prefix4 = 24; })"));
  EXPECT_TRUE(has(0, "a"));
  EXPECT_FALSE(has(2, "a"));
  ASSERT_EQ(last.warnings.size(), 1u);
  EXPECT_EQ(
      last.warnings[0],
      "service \"web\": sessions that the stick table has for source addresses by /32 and /64 "
      "are not found any more, as no entry of the persistence list says so now");
  reload(text);
  EXPECT_FALSE(has(0, "a"));
  EXPECT_TRUE(has(2, "a")) << "back in time";
  ASSERT_EQ(last.warnings.size(), 2u);
  EXPECT_NE(last.warnings[0].find("for the learned cookie \"PHPSESSID\" are"), std::string::npos)
      << last.warnings[0];
}

TEST_F(Tables, say_so_when_they_go_as_a_whole) {
  put(0, "a");
  put(2, "a");
  reload(with(kSample, "protocol = \"tcp\"; pool = \"web\";",
              "protocol = \"tcp\"; pool = \"web\"; mode = \"splice\";"));
  EXPECT_EQ(table, nullptr);
  EXPECT_EQ(last.warnings, std::vector<std::string>{
                               "service \"web\": its stick table goes, and 2 sessions with it"});
  reload(text);
  EXPECT_TRUE(last.warnings.empty());
  put(0, "a");
  reload(kSample);
  EXPECT_EQ(last.warnings, std::vector<std::string>{
                               "service \"web\": its stick table goes, and 1 session with it"});
}

TEST_F(Tables, begin_anew_before_kinds_of_keys_run_out) {
  put(0, "a");
  size_t lost = 0;
  for (int bits = 1; bits <= 300; ++bits) {
    const std::string source = "{ type = \"source\"; prefix4 = " + std::to_string(1 + bits % 20) +
                               "; prefix6 = " + std::to_string(1 + bits / 20) + "; }";
    reload(with(text, R"({ type = "source"; })", source));
    if (has(0, "a")) continue;
    ++lost;
    EXPECT_EQ(
        last.warnings,
        std::vector<std::string>{"service \"web\": its stick table goes, and 1 session with it"})
        << bits;
    put(0, "a");
  }
  EXPECT_EQ(lost, 1u);
}

TEST(Builder, clients_are_promised_what_every_backend_accepts) {
  const std::vector<uint16_t> members = {4, 1, 2};
  std::vector<std::optional<tcp::Agreed>> offers(5);
  const tcp::SynAckOptions all = syn_ack_options_for(members, offers, 8960, 16384);
  EXPECT_EQ(all.mss, 8960);
  EXPECT_TRUE(all.sack && all.timestamps) << "nothing is known yet";

  offers[1] = tcp::Agreed{.mss = 1400, .wscale = 9, .sack = true, .timestamps = true};
  offers[2] = tcp::Agreed{.mss = 1460, .sack = true, .mss_at_least = true};
  offers[3] = tcp::Agreed{.mss = 600};  // of another pool
  const tcp::SynAckOptions some = syn_ack_options_for(members, offers, 8960, 16384);
  EXPECT_EQ(some.mss, 1400);
  EXPECT_TRUE(some.sack);
  EXPECT_FALSE(some.timestamps);
  EXPECT_EQ(some.window_scale, all.window_scale) << "cookies do not say which one was told";
  EXPECT_EQ(some.window, 16384);

  offers[4] = tcp::Agreed{.mss = 20};
  EXPECT_EQ(syn_ack_options_for(members, offers, 8960, 16384).mss, 88) << "the least of a cookie";
  offers[1]->mss_at_least = true;
  offers[4] = tcp::Agreed{.mss = 1460, .mss_at_least = true};
  EXPECT_EQ(syn_ack_options_for(members, offers, 8960, 16384).mss, 8960)
      << "the checker saw no more";
}

TEST(Builder, a_spliced_service_promises_what_its_ports_take) {
  const config::Document d =
      document(with(kSample, "protocol = \"tcp\"; pool = \"web\";",
                    "protocol = \"tcp\"; pool = \"web\"; mode = \"splice\";"));
  const auto ports = ports_of(d, 1);
  BuildInput input;
  input.document = &d;
  input.ports = ports;
  const Result<Built> built = build(Slots(), input);
  ASSERT_TRUE(built.ok()) << built.error();
  const dataplane::SpliceEntry* e = nullptr;
  for (const dataplane::ServiceEntry& s : built->owned.snapshot->services)
    if (s.splice != nullptr) e = s.splice.get();
  ASSERT_NE(e, nullptr);
  EXPECT_EQ(e->syn_ack.mss, 1460);
  EXPECT_EQ(e->syn_ack.window, 16384);
  EXPECT_EQ(e->head_bytes, 16384u);
  EXPECT_EQ(e->unavailable.find("HTTP/1.1 503 Service Unavailable\r\n"), 0u);
  EXPECT_NE(e->unavailable.find("\r\nRetry-After: 5\r\n"), std::string::npos);
}

}  // namespace
}  // namespace limpet::publish
