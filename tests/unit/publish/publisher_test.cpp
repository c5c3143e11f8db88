// Snapshots, states and queries as workers see them: over real rings and RCU, in one thread.
#include "limpet/publish/publisher.h"

#include <gtest/gtest.h>
#include <rte_ring_elem.h>

#include <map>
#include <optional>

#include "sample.h"

namespace limpet::publish {
namespace {

using balance::Admin;
using balance::BackendStatus;
using balance::Health;
using dataplane::ToWorker;
using std::chrono::milliseconds;
using std::chrono::seconds;

class PublisherTest : public ::testing::Test {
 protected:
  void SetUp() override {
    static int count = 0;
    auto shared = dataplane::Shared::create(2, "pub" + std::to_string(++count));
    ASSERT_TRUE(shared.ok()) << shared.error();
    shared_ = std::move(*shared);
    const config::Document d = document(kSample);
    Publisher::Setup setup;
    setup.shared = shared_.get();
    setup.ports = ports_of(d, 2);
    setup.stats = {&stats_[0], &stats_[1]};
    setup.toeplitz = &toeplitz_;
    setup.memory = [this] { return memory_; };
    publisher_ = std::make_unique<Publisher>(std::move(setup));
  }
  void apply(const std::string& text) {
    const auto applied = publisher_->apply(document(text), now_);
    ASSERT_TRUE(applied.ok()) << applied.error();
  }
  std::vector<ToWorker> messages(unsigned worker) {
    std::vector<ToWorker> all;
    ToWorker m;
    while (rte_ring_sc_dequeue_elem(shared_->rings[worker].control, &m, sizeof m) == 0)
      all.push_back(m);
    return all;
  }
  // Makes the ring of a worker full, and tells how many messages that took.
  size_t fill(unsigned worker) {
    ToWorker m;
    m.type = ToWorker::Type::query;
    size_t n = 0;
    while (rte_ring_sp_enqueue_elem(shared_->rings[worker].control, &m, sizeof m) == 0) ++n;
    return n;
  }
  void online(unsigned worker) {
    rte_rcu_qsbr_thread_register(shared_->rcu, worker);
    rte_rcu_qsbr_thread_online(shared_->rcu, worker);
  }
  const dataplane::Snapshot* published() const {
    return shared_->snapshot.load(std::memory_order_acquire);
  }

  Instant now_{1'000'000'000'000};
  Memory memory_;  // the kernel does not say
  flow::Toeplitz toeplitz_{flow::kDefaultRssKey};
  dataplane::WorkerStats stats_[2] = {{2, 16, 16}, {2, 16, 16}};
  std::unique_ptr<dataplane::Shared> shared_;
  std::unique_ptr<Publisher> publisher_;
};

const std::string kWithoutS1 = with(kSample, R"(port = 80; },
                 { name = "s1"; address = "10.2.0.11"; port = 80; weight = 2; } ); },)",
                                    "port = 80; } ); },");

TEST_F(PublisherTest, the_first_snapshot_comes_with_endpoints_and_states) {
  EXPECT_EQ(published(), nullptr);
  apply(kSample);
  ASSERT_NE(published(), nullptr);
  EXPECT_EQ(published()->serial, 1u);
  EXPECT_EQ(shared_->endpoints[1].address, ip("10.2.0.11"));
  EXPECT_EQ(shared_->endpoints[2].port.host(), 7);
  for (unsigned w = 0; w < 2; ++w) {
    const auto all = messages(w);
    ASSERT_EQ(all.size(), 3u);
    for (uint16_t slot = 0; slot < 3; ++slot) {
      EXPECT_EQ(all[slot].type, ToWorker::Type::backend);
      EXPECT_EQ(all[slot].slot, slot);
      EXPECT_EQ(all[slot].generation, 1);
    }
    EXPECT_EQ(all[1].status, (BackendStatus{Admin::up, Health::unknown}));
    EXPECT_EQ(all[2].status, (BackendStatus{Admin::up, Health::up})) << "a pool without checks";
  }
}

TEST_F(PublisherTest, a_state_goes_to_every_worker_once) {
  apply(kSample);
  for (unsigned w = 0; w < 2; ++w) messages(w);
  publisher_->set_status(1, {Admin::drain, Health::up});
  publisher_->set_status(1, {Admin::drain, Health::up});
  for (unsigned w = 0; w < 2; ++w) {
    const auto all = messages(w);
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].slot, 1);
    EXPECT_EQ(all[0].status, (BackendStatus{Admin::drain, Health::up}));
  }
}

TEST_F(PublisherTest, a_full_ring_loses_no_state_and_delivers_the_latest) {
  apply(kSample);
  messages(0);
  messages(1);
  const size_t junk = fill(0);
  publisher_->set_status(1, {Admin::up, Health::down});
  publisher_->set_status(0, {Admin::up, Health::up});
  publisher_->set_status(1, {Admin::up, Health::up});
  EXPECT_EQ(publisher_->pending(), 2u);
  EXPECT_EQ(messages(1).size(), 3u) << "the other worker is not kept waiting";
  EXPECT_LE(publisher_->turn(now_), milliseconds(10)) << "soon again";
  EXPECT_EQ(publisher_->pending(), 2u);

  EXPECT_EQ(messages(0).size(), junk);
  publisher_->turn(now_);
  const auto late = messages(0);
  ASSERT_EQ(late.size(), 2u);
  std::map<uint16_t, BackendStatus> seen;
  for (const ToWorker& m : late) seen[m.slot] = m.status;
  EXPECT_EQ(seen[0], (BackendStatus{Admin::up, Health::up}));
  EXPECT_EQ(seen[1], (BackendStatus{Admin::up, Health::up}));
  EXPECT_EQ(publisher_->pending(), 0u);
}

TEST_F(PublisherTest, a_later_state_does_not_overtake_one_that_waits) {
  apply(kSample);
  messages(0);
  fill(0);
  publisher_->set_status(1, {Admin::up, Health::down});
  messages(0);  // room again, before the next turn
  publisher_->set_status(1, {Admin::up, Health::up});
  publisher_->turn(now_);
  const auto all = messages(0);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].status.health, Health::up);
}

TEST_F(PublisherTest, queries_wait_for_room_behind_the_states) {
  apply(kSample);
  messages(0);
  fill(0);
  dataplane::Query q1, q2;
  publisher_->ask(0, &q1);
  publisher_->set_status(1, {Admin::up, Health::down});
  publisher_->ask(0, &q2);
  EXPECT_EQ(publisher_->pending(), 3u);
  messages(0);
  publisher_->turn(now_);
  const auto all = messages(0);
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].type, ToWorker::Type::backend);
  EXPECT_EQ(all[1].query, &q1);
  EXPECT_EQ(all[2].query, &q2);
}

TEST_F(PublisherTest, an_old_snapshot_lives_until_every_worker_was_quiescent) {
  online(0);
  online(1);
  apply(kSample);
  const auto* first = published();
  apply(with(kSample, "weight = 2", "weight = 3"));
  EXPECT_EQ(published()->serial, 2u);
  EXPECT_EQ(publisher_->old_snapshots(), 1u);
  EXPECT_EQ(first->pools[0].name, "web") << "still readable";
  EXPECT_LE(publisher_->turn(now_), milliseconds(10));
  rte_rcu_qsbr_quiescent(shared_->rcu, 0);
  publisher_->turn(now_);
  EXPECT_EQ(publisher_->old_snapshots(), 1u) << "worker 1 may still read it";
  EXPECT_EQ(publisher_->settled(), 1u);
  rte_rcu_qsbr_quiescent(shared_->rcu, 1);
  publisher_->turn(now_);
  EXPECT_EQ(publisher_->old_snapshots(), 0u);
  EXPECT_EQ(publisher_->settled(), 2u);
}

TEST_F(PublisherTest, a_worker_that_sleeps_holds_nothing_up) {
  online(0);
  online(1);
  apply(kSample);
  rte_rcu_qsbr_thread_offline(shared_->rcu, 0);
  apply(kSample);
  rte_rcu_qsbr_quiescent(shared_->rcu, 1);
  publisher_->turn(now_);
  EXPECT_EQ(publisher_->old_snapshots(), 0u);
}

TEST_F(PublisherTest, many_reloads_while_a_worker_is_busy_are_all_freed_at_once) {
  online(0);
  apply(kSample);
  for (int i = 0; i < 10; ++i) apply(kSample);
  EXPECT_EQ(publisher_->old_snapshots(), 10u);
  rte_rcu_qsbr_quiescent(shared_->rcu, 0);
  publisher_->turn(now_);
  EXPECT_EQ(publisher_->old_snapshots(), 0u);
}

TEST_F(PublisherTest, what_cannot_be_built_changes_nothing) {
  apply(kSample);
  const auto* before = published();
  const auto failed =
      publisher_->apply(document(with(kSample, "{ name = \"echo\"; health",
                                      "{ name = \"echo\"; source_ports = [ 2000, 3000 ]; health")),
                        now_);
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(published(), before);
  EXPECT_EQ(publisher_->current(), before);
  EXPECT_NE(publisher_->slots().find_backend("echo", "e0"), dataplane::kNoSlot);
}

TEST_F(PublisherTest, states_of_unchanged_backends_survive_a_reload) {
  apply(kSample);
  publisher_->set_status(1, {Admin::drain, Health::down});
  messages(0);
  apply(with(kSample, "weight = 2", "weight = 3"));
  EXPECT_EQ(publisher_->status(1), (BackendStatus{Admin::drain, Health::down}));
  EXPECT_TRUE(messages(0).empty()) << "nothing new to tell";
}

TEST_F(PublisherTest, a_backend_that_returns_is_what_its_checks_know) {
  apply(kSample);
  publisher_->set_status(1, {Admin::drain, Health::down});
  apply(kWithoutS1);
  apply(kSample);
  EXPECT_EQ(publisher_->status(1), (BackendStatus{Admin::up, Health::down}))
      << "its checks went on and see no change to report";
}

TEST_F(PublisherTest, a_pool_whose_checks_are_switched_off_is_up) {
  apply(kSample);
  publisher_->set_status(0, {Admin::up, Health::down});
  messages(0);
  apply(with(kSample, "{ name = \"web\";\n", "{ name = \"web\"; health = { type = \"none\"; };\n"));
  EXPECT_EQ(publisher_->status(0), (BackendStatus{Admin::up, Health::up}));
  EXPECT_EQ(messages(0).size(), 2u);
}

TEST_F(PublisherTest, a_removed_backend_is_reclaimed_when_its_flows_have_ended) {
  online(0);
  apply(kSample);
  stats_[0].backends[1].connections_active.add(1);
  apply(kWithoutS1);
  rte_rcu_qsbr_quiescent(shared_->rcu, 0);
  for (int i = 0; i < 20; ++i) publisher_->turn(now_ = now_ + milliseconds(300));
  EXPECT_EQ(published()->serial, 2u);
  EXPECT_TRUE(published()->backends[1].used) << "one flow is left";

  stats_[0].backends[1].connections_active.sub(1);
  publisher_->turn(now_ = now_ + milliseconds(300));
  EXPECT_EQ(published()->serial, 3u) << "published again without it";
  EXPECT_FALSE(published()->backends[1].used);
  EXPECT_EQ(publisher_->slots().backends[1].generation, 2);

  messages(0);
  apply(with(kWithoutS1, "port = 80; } ); },",
             "port = 80; }, { name = \"s7\"; address = \"10.2.0.17\"; port = 80; } ); },"));
  EXPECT_EQ(shared_->endpoints[1].address, ip("10.2.0.17"));
  const auto told = messages(0);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].slot, 1);
  EXPECT_EQ(told[0].generation, 2);
  EXPECT_EQ(told[0].status, BackendStatus{});
}

TEST_F(PublisherTest, nothing_is_reclaimed_before_the_workers_have_moved_on) {
  online(0);
  apply(kSample);
  apply(kWithoutS1);
  for (int i = 0; i < 20; ++i) publisher_->turn(now_ = now_ + seconds(1));
  EXPECT_TRUE(publisher_->slots().backends[1].used) << "worker 0 still reads snapshot 1";
  rte_rcu_qsbr_quiescent(shared_->rcu, 0);
  publisher_->turn(now_);
  EXPECT_TRUE(publisher_->slots().backends[1].used) << "grace";
  publisher_->turn(now_ = now_ + Publisher::kGrace + milliseconds(1));
  EXPECT_FALSE(publisher_->slots().backends[1].used);
}

TEST_F(PublisherTest, an_idle_publisher_wants_no_turns) {
  apply(kSample);
  publisher_->turn(now_);
  publisher_->turn(now_ = now_ + seconds(1));
  EXPECT_GE(publisher_->turn(now_), milliseconds(100));
}

TEST_F(PublisherTest, what_a_backend_accepts_changes_what_clients_are_promised) {
  apply(with(kSample, "protocol = \"tcp\"; pool = \"web\";",
             "protocol = \"tcp\"; pool = \"web\"; mode = \"splice\";"));
  const auto syn_ack = [this] { return publisher_->current()->services[0].splice->syn_ack; };
  const tcp::Agreed usual{.mss = 1460, .wscale = 7, .sack = true, .timestamps = true};
  EXPECT_FALSE(publisher_->set_offer(0, usual)) << "that was assumed";
  EXPECT_FALSE(publisher_->set_offer(2, tcp::Agreed{.mss = 600})) << "of a pool in mode nat";
  tcp::Agreed without = usual;
  without.timestamps = false;
  EXPECT_TRUE(publisher_->set_offer(1, without));
  EXPECT_TRUE(syn_ack().timestamps) << "a snapshot does not change";
  ASSERT_TRUE(publisher_->refresh(now_).ok());
  EXPECT_FALSE(syn_ack().timestamps);
  EXPECT_FALSE(publisher_->set_offer(1, without));
  EXPECT_TRUE(publisher_->set_offer(1, usual)) << "it may be taken back";
  ASSERT_TRUE(publisher_->refresh(now_).ok());
  EXPECT_TRUE(syn_ack().timestamps);
}

const std::string kMoreSources =
    with(kSample, "{ name = \"echo\"; health",
         "{ name = \"echo\"; source_addresses = [ \"10.2.0.254\", \"10.2.0.200\" ]; health");

TEST_F(PublisherTest, a_reload_whose_source_ports_do_not_fit_changes_nothing) {
  const uint64_t set = flow::SourcePorts::bytes(64512, 2);
  apply(kSample);
  memory_ = {.available = 4 * set - 1, .resident = 0};
  const auto* before = published();
  const auto refused = publisher_->apply(document(kMoreSources), now_);
  ASSERT_FALSE(refused.ok()) << "one set more, and three that have touched nothing yet";
  EXPECT_NE(refused.error().find("not enough memory for the source ports of 1 pairs"),
            std::string::npos)
      << refused.error();
  EXPECT_EQ(published(), before);
  EXPECT_TRUE(publisher_->refresh(now_).ok()) << "what runs needs nothing new";
  memory_.available = 4 * set;
  apply(kMoreSources);
}

TEST_F(PublisherTest, memory_that_source_ports_have_touched_is_not_counted_twice) {
  const uint64_t set = flow::SourcePorts::bytes(64512, 2);
  apply(kSample);
  memory_ = {.available = 2 * set, .resident = 2 * set};
  apply(kMoreSources);
}

TEST_F(PublisherTest, a_port_whose_link_is_back_is_told_to_one_worker) {
  apply(kSample);
  messages(0);
  messages(1);
  publisher_->announce(1);
  const auto told = messages(0);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].type, ToWorker::Type::announce);
  EXPECT_EQ(told[0].slot, 1);
  EXPECT_TRUE(messages(1).empty());
}

TEST_F(PublisherTest, an_announcement_waits_for_room_in_the_ring_once) {
  apply(kSample);
  fill(0);
  publisher_->announce(1);
  publisher_->announce(1);
  EXPECT_EQ(publisher_->pending(), 1u);
  messages(0);
  publisher_->turn(now_);
  EXPECT_EQ(publisher_->pending(), 0u);
  const auto told = messages(0);
  ASSERT_EQ(told.size(), 1u);
  EXPECT_EQ(told[0].type, ToWorker::Type::announce);
}

}  // namespace
}  // namespace limpet::publish
