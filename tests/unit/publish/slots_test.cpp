// Slots over reloads: who keeps an index, who gets a new one, and when an old one is free again.
#include "limpet/publish/slots.h"

#include <gtest/gtest.h>

#include <map>

#include "limpet/publish/builder.h"
#include "sample.h"

namespace limpet::publish {
namespace {

using dataplane::kNoSlot;

class SlotsTest : public ::testing::Test {
 protected:
  // Builds and takes over, as the publisher does; the error's text when it cannot be built.
  std::string apply(const std::string& text) {
    const config::Document d = document(text);
    const auto ports = ports_of(d, 1);
    BuildInput input;
    input.document = &d;
    input.ports = ports;
    input.serial = ++serial_;
    input.previous = last_.owned.snapshot.get();
    Result<Built> built = build(slots_, input);
    if (!built) return built.error();
    slots_ = built->slots;
    last_ = std::move(*built);
    return "";
  }
  bool reclaim(uint64_t settled) {
    return slots_.reclaim(
        settled, [this](uint16_t s) { return backend_flows_[s]; },
        [this](uint16_t s) { return service_flows_[s]; });
  }
  const dataplane::Snapshot& snapshot() const { return *last_.owned.snapshot; }
  uint16_t backend(const char* pool, const char* name) const {
    return slots_.find_backend(pool, name);
  }

  Slots slots_;
  Built last_;
  uint64_t serial_ = 0;
  std::map<uint16_t, uint64_t> backend_flows_, service_flows_;
};

const std::string kWithoutS1 = with(kSample, R"(port = 80; },
                 { name = "s1"; address = "10.2.0.11"; port = 80; weight = 2; } ); },)",
                                    "port = 80; } ); },");

TEST_F(SlotsTest, first_build_gives_every_backend_a_slot_of_generation_one) {
  ASSERT_EQ(apply(kSample), "");
  EXPECT_EQ(backend("web", "s0"), 0);
  EXPECT_EQ(backend("web", "s1"), 1);
  EXPECT_EQ(backend("echo", "e0"), 2);
  EXPECT_EQ(backend("web", "e0"), kNoSlot);
  EXPECT_EQ(slots_.backends[2].generation, 1);
  EXPECT_EQ(last_.new_backends, (std::vector<uint16_t>{0, 1, 2}));
  EXPECT_EQ(last_.new_services, (std::vector<uint16_t>{0, 1}));
}

TEST_F(SlotsTest, nothing_changes_when_the_same_document_is_built_again) {
  ASSERT_EQ(apply(kSample), "");
  const auto* ports = snapshot().backends[1].sources[0].ports[0];
  ASSERT_EQ(apply(kSample), "");
  EXPECT_TRUE(last_.new_backends.empty());
  EXPECT_TRUE(last_.new_services.empty());
  EXPECT_EQ(snapshot().backends[1].sources[0].ports[0], ports) << "flows draw from that object";
  EXPECT_FALSE(slots_.anything_removed());
}

TEST_F(SlotsTest, slots_follow_identity_and_not_the_order_in_the_file) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(with(with(kSample, "name = \"s0\"; address = \"10.2.0.10\"",
                            "name = \"s9\"; address = \"10.2.0.9\""),
                       "port = 80; weight = 2; }",
                       "port = 80; }, { name = \"s0\"; address = \"10.2.0.10\"; port = 80; }")),
            "");
  EXPECT_EQ(backend("web", "s0"), 0);
  EXPECT_EQ(backend("web", "s1"), 1);
  EXPECT_EQ(backend("web", "s9"), 3);
  EXPECT_EQ(snapshot().pools[0].members, (std::vector<uint16_t>{3, 1, 0}));
}

TEST_F(SlotsTest, a_changed_address_is_another_backend) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(with(kSample, "10.2.0.11", "10.2.0.12")), "");
  EXPECT_EQ(backend("web", "s1"), 3);
  EXPECT_TRUE(slots_.backends[1].used);
  EXPECT_FALSE(slots_.backends[1].configured);
  EXPECT_EQ(snapshot().backends[1].address, ip("10.2.0.11")) << "its flows still need it";
}

TEST_F(SlotsTest, a_changed_port_is_another_backend) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(with(kSample, "port = 80; weight = 2", "port = 81; weight = 2")), "");
  EXPECT_EQ(backend("web", "s1"), 3);
}

TEST_F(SlotsTest, a_changed_weight_is_the_same_backend) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(with(kSample, "weight = 2", "weight = 3")), "");
  EXPECT_EQ(backend("web", "s1"), 1);
  EXPECT_TRUE(last_.new_backends.empty());
}

TEST_F(SlotsTest, a_removed_backend_stays_while_flows_name_it) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(kWithoutS1), "");
  EXPECT_EQ(backend("web", "s1"), kNoSlot);
  EXPECT_TRUE(snapshot().backends[1].used);
  EXPECT_FALSE(snapshot().backends[1].configured);
  EXPECT_NE(snapshot().backends[1].sources[0].ports[0], nullptr);
  backend_flows_[1] = 1;
  EXPECT_FALSE(reclaim(2));
  EXPECT_TRUE(slots_.backends[1].used);
  EXPECT_TRUE(slots_.anything_removed());
}

TEST_F(SlotsTest, a_removed_backend_without_flows_is_reclaimed_with_the_next_generation) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(kWithoutS1), "");
  EXPECT_FALSE(reclaim(1)) << "a worker may still choose it by snapshot 1";
  EXPECT_TRUE(reclaim(2));
  EXPECT_FALSE(slots_.backends[1].used);
  EXPECT_EQ(slots_.backends[1].generation, 2);
  EXPECT_FALSE(slots_.anything_removed());

  ASSERT_EQ(
      apply(with(kWithoutS1, "port = 80; } ); },",
                 "port = 80; }, { name = \"s7\"; address = \"10.2.0.17\"; port = 80; } ); },")),
      "");
  EXPECT_EQ(backend("web", "s7"), 1);
  EXPECT_EQ(snapshot().backends[1].generation, 2);
  EXPECT_EQ(last_.new_backends, (std::vector<uint16_t>{1}));
}

TEST_F(SlotsTest, a_removed_backend_that_returns_in_time_has_its_slot_and_generation) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(kWithoutS1), "");
  backend_flows_[1] = 5;
  EXPECT_FALSE(reclaim(2));
  ASSERT_EQ(apply(kSample), "");
  EXPECT_EQ(backend("web", "s1"), 1);
  EXPECT_EQ(slots_.backends[1].generation, 1);
  EXPECT_EQ(last_.new_backends, (std::vector<uint16_t>{1})) << "its state must be told again";
  backend_flows_[1] = 0;
  EXPECT_FALSE(reclaim(3)) << "it is configured";
}

TEST_F(SlotsTest, generations_skip_zero) {
  ASSERT_EQ(apply(kSample), "");
  slots_.backends[1].generation = 0xffff;
  ASSERT_EQ(apply(kWithoutS1), "");
  EXPECT_TRUE(reclaim(2));
  EXPECT_EQ(slots_.backends[1].generation, 1);
}

TEST_F(SlotsTest, a_service_keeps_its_slot_when_name_and_pool_change) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(apply(with(kSample, "name = \"echo\"; vip", "name = \"other\"; vip")), "");
  EXPECT_EQ(slots_.find_service("other"), 1);
  EXPECT_EQ(slots_.find_service("echo"), kNoSlot);
  EXPECT_TRUE(last_.new_services.empty());
}

TEST_F(SlotsTest, a_removed_service_is_ours_until_its_flows_have_ended) {
  ASSERT_EQ(apply(kSample), "");
  const std::string moved =
      with(kSample, "vip = \"10.1.0.100\"; port = 7", "vip = \"10.1.0.101\"; port = 7");
  service_flows_[1] = 1;
  ASSERT_EQ(apply(moved), "");
  EXPECT_FALSE(reclaim(2));
  ASSERT_EQ(apply(moved), "");
  const auto old_vip = snapshot().locals.find(ip("10.1.0.100"))->vip;
  EXPECT_EQ(snapshot().locals.service(old_vip, 17, be16::from(7)), 1);
  EXPECT_TRUE(snapshot().services[1].used);
  EXPECT_FALSE(snapshot().services[1].configured);

  service_flows_[1] = 0;
  EXPECT_TRUE(reclaim(3));
  ASSERT_EQ(apply(moved), "");
  EXPECT_EQ(snapshot().locals.service(old_vip, 17, be16::from(7)), kNoSlot);
  EXPECT_FALSE(snapshot().services[1].used);
}

TEST_F(SlotsTest, a_source_goes_with_the_last_backend_slot_that_refers_to_it) {
  const std::string own = with(kSample, "{ name = \"echo\"; health",
                               "{ name = \"echo\"; source_addresses = [ \"10.2.0.200\" ]; health");
  ASSERT_EQ(apply(own), "");
  ASSERT_EQ(slots_.sources.size(), 2u);
  EXPECT_EQ(slots_.sources[1].address, ip("10.2.0.200"));
  EXPECT_EQ(snapshot().locals.find(ip("10.2.0.200"))->source, 1);

  backend_flows_[2] = 1;
  ASSERT_EQ(
      apply(with(own, "address = \"10.2.0.10\"; port = 7", "address = \"10.2.0.11\"; port = 7")),
      "");
  EXPECT_EQ(snapshot().backends[3].sources[0].source, 1);
  ASSERT_EQ(apply(kSample), "");  // the source is gone from the file
  EXPECT_FALSE(reclaim(1));
  EXPECT_TRUE(slots_.sources[1].used);
  EXPECT_EQ(snapshot().locals.find(ip("10.2.0.200"))->source, 1) << "answers still arrive there";

  backend_flows_[2] = 0;
  EXPECT_TRUE(reclaim(3));
  EXPECT_FALSE(slots_.sources[1].used);
  EXPECT_TRUE(slots_.sources[0].used);
}

TEST_F(SlotsTest, a_source_taken_from_a_pool_serves_the_flows_that_it_has) {
  const std::string two =
      with(kSample, "{ name = \"echo\"; health",
           "{ name = \"echo\"; source_addresses = [ \"10.2.0.200\", \"10.2.0.201\" ]; health");
  ASSERT_EQ(apply(two), "");
  backend_flows_[2] = 1;
  ASSERT_EQ(apply(with(two, "\"10.2.0.200\", \"10.2.0.201\"", "\"10.2.0.201\"")), "");
  ASSERT_EQ(backend("echo", "e0"), 2) << "not another backend";
  const auto& sources = snapshot().backends[2].sources;
  ASSERT_EQ(sources.size(), 2u);
  EXPECT_TRUE(sources[0].retired);
  EXPECT_FALSE(sources[1].retired);
  EXPECT_NE(sources[0].ports[0], nullptr);
  EXPECT_FALSE(reclaim(2));

  backend_flows_[2] = 0;
  EXPECT_TRUE(reclaim(2));
  ASSERT_EQ(slots_.backends[2].sources.size(), 1u);
  EXPECT_FALSE(slots_.sources[1].used);
  EXPECT_TRUE(slots_.backends[2].used);
}

TEST_F(SlotsTest, a_source_that_returns_is_no_longer_retired) {
  const std::string two =
      with(kSample, "{ name = \"echo\"; health",
           "{ name = \"echo\"; source_addresses = [ \"10.2.0.200\", \"10.2.0.201\" ]; health");
  ASSERT_EQ(apply(two), "");
  ASSERT_EQ(apply(with(two, "\"10.2.0.200\", \"10.2.0.201\"", "\"10.2.0.201\"")), "");
  ASSERT_EQ(apply(two), "");
  EXPECT_FALSE(snapshot().backends[2].sources[0].retired);
  EXPECT_FALSE(snapshot().backends[2].sources[1].retired);
}

TEST_F(SlotsTest, pools_with_the_same_endpoint_draw_from_the_same_ports) {
  ASSERT_EQ(apply(with(kSample, "{ name = \"e0\"; address = \"10.2.0.10\"; port = 7; }",
                       "{ name = \"e0\"; address = \"10.2.0.10\"; port = 80; }")),
            "");
  EXPECT_NE(backend("web", "s0"), backend("echo", "e0"));
  EXPECT_EQ(snapshot().backends[0].sources[0].ports[0], snapshot().backends[2].sources[0].ports[0]);
  EXPECT_NE(snapshot().backends[0].sources[0].ports[0], snapshot().backends[1].sources[0].ports[0]);
}

TEST_F(SlotsTest, the_ports_of_a_removed_backend_are_those_of_its_successor) {
  ASSERT_EQ(apply(kSample), "");
  const auto* ports = snapshot().backends[1].sources[0].ports[0];
  backend_flows_[1] = 1;
  ASSERT_EQ(apply(with(kSample, "name = \"s1\"", "name = \"renamed\"")), "");
  EXPECT_EQ(backend("web", "renamed"), 3);
  EXPECT_EQ(snapshot().backends[3].sources[0].ports[0], ports);
  backend_flows_[1] = 0;
  EXPECT_TRUE(reclaim(2));
  EXPECT_EQ(slots_.backends[3].sources[0].ports->by_worker[0].get(), ports);
}

TEST_F(SlotsTest, ports_live_as_long_as_a_slot_or_a_snapshot_uses_them) {
  ASSERT_EQ(apply(kSample), "");
  const std::weak_ptr<PortSet> ports = slots_.backends[1].sources[0].ports;
  ASSERT_EQ(apply(kWithoutS1), "");
  EXPECT_TRUE(reclaim(2));
  EXPECT_FALSE(ports.expired()) << "snapshot 2 points there";
  ASSERT_EQ(apply(kWithoutS1), "");
  EXPECT_TRUE(ports.expired());
}

// Pool web with `web` before its backends, pool echo towards web's endpoint with `echo`.
std::string one_endpoint(const std::string& web, const std::string& echo) {
  return with(with(with(kSample, "{ name = \"e0\"; address = \"10.2.0.10\"; port = 7; }",
                        "{ name = \"e0\"; address = \"10.2.0.10\"; port = 80; }"),
                   "{ name = \"echo\"; health", "{ name = \"echo\"; " + echo + " health"),
              "{ name = \"web\";\n", "{ name = \"web\"; " + web + "\n");
}

TEST_F(SlotsTest, ranges_that_overlap_are_cut_so_that_no_port_is_in_two_sets) {
  ASSERT_EQ(apply(one_endpoint("", "source_ports = [ 2000, 3000 ];")), "");
  const auto& web = snapshot().backends[0].sources;
  const auto& echo = snapshot().backends[2].sources;
  ASSERT_EQ(web.size(), 3u);
  ASSERT_EQ(echo.size(), 1u);
  EXPECT_EQ(echo[0].ports[0]->capacity(), 1001u);
  EXPECT_EQ(web[1].ports[0], echo[0].ports[0]) << "drawn from by both";
  EXPECT_EQ(web[0].ports[0]->capacity(), 2000u - 1024u);
  EXPECT_EQ(web[2].ports[0]->capacity(), 65535u - 3000u);
  EXPECT_EQ(web[0].source, web[2].source);
  ASSERT_EQ(snapshot().backends[1].sources.size(), 1u) << "nobody shares s1";
}

TEST_F(SlotsTest, ranges_that_begin_or_end_in_each_other_share_the_middle) {
  ASSERT_EQ(apply(one_endpoint("source_ports = [ 1000, 2000 ];", "source_ports = [ 1500, 3000 ];")),
            "");
  const auto& web = snapshot().backends[0].sources;
  const auto& echo = snapshot().backends[2].sources;
  ASSERT_EQ(web.size(), 2u);
  ASSERT_EQ(echo.size(), 2u);
  EXPECT_EQ(web[0].ports[0]->capacity(), 500u);
  EXPECT_EQ(web[1].ports[0], echo[0].ports[0]);
  EXPECT_EQ(web[1].ports[0]->capacity(), 501u);
  EXPECT_EQ(echo[1].ports[0]->capacity(), 1000u);
}

TEST_F(SlotsTest, a_wider_range_of_another_pool_goes_round_a_running_one) {
  const std::string narrow = "source_ports = [ 2000, 3000 ];";
  ASSERT_EQ(apply(with(kSample, "{ name = \"web\";\n", "{ name = \"web\"; " + narrow + "\n")), "");
  const auto* running = snapshot().backends[0].sources[0].ports[0];
  ASSERT_EQ(apply(one_endpoint(narrow, "")), "");
  const uint16_t echo = backend("echo", "e0");
  ASSERT_EQ(snapshot().backends[echo].sources.size(), 3u);
  EXPECT_EQ(snapshot().backends[echo].sources[1].ports[0], running);
  EXPECT_EQ(snapshot().backends[0].sources[0].ports[0], running);
  EXPECT_EQ(snapshot().backends[0].sources.size(), 1u);
}

TEST_F(SlotsTest, a_range_that_would_cut_a_running_one_is_refused) {
  ASSERT_EQ(apply(kSample), "");
  EXPECT_EQ(
      apply(one_endpoint("", "source_ports = [ 2000, 3000 ];")),
      "pool \"echo\" wants source ports 2000-3000 from 10.2.0.254 towards 10.2.0.10:80, where "
      "1024-65535 are in use by another pool or by connections of a removed one: give it that "
      "range or one without any of them, or restart");
  EXPECT_EQ(apply(one_endpoint("", "source_ports = [ 500, 1023 ];")), "");
}

TEST_F(SlotsTest, the_range_of_a_running_pool_does_not_change) {
  ASSERT_EQ(apply(kSample), "");
  EXPECT_EQ(apply(with(kSample, "{ name = \"echo\"; health",
                       "{ name = \"echo\"; source_ports = [ 2000, 3000 ]; health")),
            "pool \"echo\" runs with source ports 1024-65535 from 10.2.0.254 towards 10.2.0.10:7, "
            "the file says 2000-3000; restart for that");
  EXPECT_TRUE(slots_.backends[2].configured);
}

// A service whose rules have changed in the second snapshot.
class KeptTest : public SlotsTest {
 protected:
  void SetUp() override {
    ASSERT_EQ(apply(with(spliced(), "head_bytes = \"1k\"", "head_bytes = \"2k\"")), "");
    ASSERT_EQ(apply(spliced()), "");
    ASSERT_EQ(slots_.services[0].kept.size(), 1u);
    place_ = dataplane::place_of(slots_.services[0].kept[0].number());
  }
  static std::string spliced() {
    return with(with(kSample, "persistence = ( { type = \"source\"; prefix4 = 24; } );", ""),
                "protocol = \"tcp\"; pool = \"web\";",
                "protocol = \"tcp\"; pool = \"web\"; mode = \"splice\"; "
                "persistence = ( { type = \"cookie\"; mode = \"learn\"; session_name = \"J\"; } ); "
                "limits = { head_bytes = \"1k\"; }; table = { size = 64; };");
  }
  Slots::Freed look(uint64_t settled) {
    return slots_.reclaim_rules(settled, [this](uint16_t slot, size_t place) {
      return slot == 0 && place == place_ ? held_ : 7;
    });
  }
  size_t kept() const { return slots_.services[0].kept.size(); }

  size_t place_ = 0;
  uint64_t held_ = 0;
};

TEST_F(KeptTest, rules_go_when_nobody_has_held_them_at_two_looks) {
  EXPECT_TRUE(slots_.any_kept());
  EXPECT_EQ(look(2), Slots::Freed::nothing);
  held_ = 1;
  EXPECT_EQ(look(2), Slots::Freed::nothing) << "somebody was late";
  held_ = 0;
  EXPECT_EQ(look(2), Slots::Freed::nothing);
  EXPECT_EQ(look(2), Slots::Freed::rules);
  EXPECT_EQ(kept(), 0u);
  EXPECT_FALSE(slots_.any_kept());
}

TEST_F(KeptTest, rules_stay_while_a_worker_may_still_read_requests_by_them) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(look(1), Slots::Freed::nothing);
  look(2);
  EXPECT_EQ(look(2), Slots::Freed::rules);
}

TEST_F(KeptTest, a_table_that_goes_with_them_is_worth_a_snapshot) {
  ASSERT_EQ(apply(kSample), "");
  ASSERT_EQ(kept(), 2u);
  place_ = dataplane::place_of(slots_.services[0].kept[1].number());
  look(3);
  EXPECT_EQ(look(3), Slots::Freed::table);
  EXPECT_EQ(kept(), 1u) << "somebody holds the older ones";
}

TEST_F(SlotsTest, backends_beyond_the_limit_are_refused) {
  slots_ = Slots({2, 16, 16});
  EXPECT_EQ(apply(kSample),
            "more than 2 backends are in use, removed ones that still have connections included; "
            "use fewer, or wait");
  EXPECT_TRUE(slots_.backends.empty());
}

TEST_F(SlotsTest, services_beyond_the_limit_are_refused) {
  slots_ = Slots({16, 1, 16});
  EXPECT_NE(apply(kSample).find("more than 1 services"), std::string::npos);
}

TEST_F(SlotsTest, sources_beyond_the_limit_are_refused) {
  slots_ = Slots({16, 16, 1});
  EXPECT_NE(apply(with(kSample, "{ name = \"echo\"; health",
                       "{ name = \"echo\"; source_addresses = [ \"10.2.0.200\" ]; health"))
                .find("more than 1 source addresses"),
            std::string::npos);
}

}  // namespace
}  // namespace limpet::publish
