#include "limpet/flow/table.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "limpet/base/hash.h"

namespace limpet::flow {
namespace {

std::array<uint64_t, 8> secret(uint64_t seed) {
  std::array<uint64_t, 8> k;
  for (size_t i = 0; i < k.size(); ++i) k[i] = mix64(seed * 100 + i + 1);
  return k;
}

std::vector<Endpoint> some_backends() {
  std::vector<Endpoint> v;
  for (uint8_t i = 0; i < 4; ++i) v.push_back({IpAddress::v4(10, 2, 0, i), be16::from(80)});
  v.push_back({IpAddress::v4(10, 2, 0, 1), be16::from(8080)});
  v.push_back({*IpAddress::parse("fd00:2::10"), be16::from(80)});
  v.push_back({*IpAddress::parse("fd00:2::11"), be16::from(80)});
  return v;
}

void fill(Record& r, const ForwardKey& forward, uint16_t backend, uint16_t source, be16 source_port,
          uint8_t protocol = 6) {
  r.client = forward.client;
  r.client_port = forward.client_port;
  r.service = forward.service;
  r.backend = backend;
  r.source = source;
  r.source_port = source_port;
  r.protocol = protocol;
}

class TableTest : public testing::Test {
 protected:
  FlowId add(const ForwardKey& forward, uint16_t backend, uint16_t source, uint16_t source_port,
             uint8_t protocol = 6) {
    const FlowId id = table.allocate();
    if (id == kNoFlow) return kNoFlow;
    fill(table.at(id), forward, backend, source, be16::from(source_port), protocol);
    EXPECT_TRUE(table.insert(id));
    return id;
  }
  template <class Key>
  FlowId find(const Key& key) const {
    return table.find(key, table.hash(key));
  }
  ReverseKey reverse(uint16_t backend, uint16_t source, uint16_t source_port,
                     uint8_t protocol = 6) const {
    return {backends[backend].address, backends[backend].port, source, be16::from(source_port),
            protocol};
  }

  std::vector<Endpoint> backends = some_backends();
  Table table{128, secret(1), backends};
};

const ForwardKey kClient{IpAddress::v4(192, 0, 2, 1), be16::from(40000), 5};

TEST_F(TableTest, a_flow_is_found_from_both_sides_until_it_is_erased) {
  const FlowId id = add(kClient, 2, 7, 1024);
  ASSERT_NE(id, kNoFlow);
  EXPECT_EQ(table.used(), 1u);
  EXPECT_TRUE(table.live(id));
  EXPECT_EQ(find(kClient), id);
  EXPECT_EQ(find(reverse(2, 7, 1024)), id);
  table.erase(id);
  EXPECT_EQ(find(kClient), kNoFlow);
  EXPECT_EQ(find(reverse(2, 7, 1024)), kNoFlow);
  EXPECT_EQ(table.used(), 0u);
  EXPECT_FALSE(table.live(id));
}

TEST_F(TableTest, a_flow_whose_backend_is_not_chosen_is_found_from_its_client_s_side) {
  const FlowId id = table.allocate();
  ASSERT_NE(id, kNoFlow);
  fill(table.at(id), kClient, 0, 0, be16{});
  table.at(id).bound = false;
  ASSERT_TRUE(table.insert(id));
  EXPECT_EQ(find(kClient), id);
  EXPECT_EQ(find(reverse(0, 0, 0)), kNoFlow);

  fill(table.at(id), kClient, 2, 7, be16::from(1024));
  ASSERT_TRUE(table.bind(id));
  EXPECT_EQ(find(reverse(2, 7, 1024)), id);
  table.unbind(id);  // it is refused, and another one is tried
  EXPECT_EQ(find(reverse(2, 7, 1024)), kNoFlow);
  EXPECT_EQ(find(kClient), id);
  fill(table.at(id), kClient, 3, 7, be16::from(1025));
  ASSERT_TRUE(table.bind(id));
  EXPECT_EQ(find(reverse(3, 7, 1025)), id);
  EXPECT_EQ(find(reverse(2, 7, 1024)), kNoFlow);
  table.erase(id);
  EXPECT_EQ(find(reverse(3, 7, 1025)), kNoFlow);
}

TEST_F(TableTest, keys_that_differ_in_one_field_are_different) {
  const FlowId id = add(kClient, 1, 7, 1024);
  ForwardKey f = kClient;
  f.client = IpAddress::v4(192, 0, 2, 2);
  EXPECT_EQ(find(f), kNoFlow);
  f = kClient;
  f.client_port = be16::from(40001);
  EXPECT_EQ(find(f), kNoFlow);
  f = kClient;
  f.service = 6;
  EXPECT_EQ(find(f), kNoFlow);

  EXPECT_EQ(find(reverse(1, 7, 1024)), id);
  EXPECT_EQ(find(reverse(2, 7, 1024)), kNoFlow) << "backend address";
  EXPECT_EQ(find(reverse(4, 7, 1024)), kNoFlow) << "backend port";
  EXPECT_EQ(find(reverse(1, 8, 1024)), kNoFlow) << "source";
  EXPECT_EQ(find(reverse(1, 7, 1025)), kNoFlow) << "source port";
  EXPECT_EQ(find(reverse(1, 7, 1024, 17)), kNoFlow) << "protocol";
}

TEST_F(TableTest, flows_that_differ_in_one_field_live_side_by_side) {
  std::map<FlowId, std::pair<ForwardKey, ReverseKey>> flows;
  const auto both = [&](ForwardKey f, uint16_t backend, uint16_t source, uint16_t port,
                        uint8_t protocol) {
    flows[add(f, backend, source, port, protocol)] = {f, reverse(backend, source, port, protocol)};
  };
  ForwardKey f = kClient;
  both(f, 1, 7, 1024, 6);
  f.client_port = be16::from(40001);
  both(f, 2, 7, 1024, 6);
  f = kClient;
  f.service = 6;
  both(f, 4, 7, 1024, 6);
  f = kClient;
  f.client = *IpAddress::parse("2001:db8::1");
  both(f, 5, 7, 1024, 6);
  f.client = *IpAddress::parse("2001:db8:0:1::1");
  both(f, 1, 8, 1024, 6);
  f.client = *IpAddress::parse("2001:db8::2");
  both(f, 1, 7, 1025, 6);
  f.service = 7;
  both(f, 1, 7, 1024, 17);
  EXPECT_EQ(flows.size(), 7u);
  for (const auto& [id, keys] : flows) {
    EXPECT_EQ(find(keys.first), id);
    EXPECT_EQ(find(keys.second), id);
  }
}

// The hash decides only where to look: with the hash of a flow and the key of another, nothing is
// found.
TEST_F(TableTest, an_equal_hash_is_not_an_equal_key) {
  add(kClient, 1, 7, 1024);
  const uint64_t forward_hash = table.hash(kClient);
  ForwardKey f = kClient;
  f.client = IpAddress::v4(192, 0, 2, 2);
  EXPECT_EQ(table.find(f, forward_hash), kNoFlow);
  f = kClient;
  f.client_port = be16::from(40001);
  EXPECT_EQ(table.find(f, forward_hash), kNoFlow);
  f = kClient;
  f.service = 6;
  EXPECT_EQ(table.find(f, forward_hash), kNoFlow);
  const uint64_t reverse_hash = table.hash(reverse(1, 7, 1024));
  for (const ReverseKey& r : {reverse(2, 7, 1024), reverse(4, 7, 1024), reverse(1, 8, 1024),
                              reverse(1, 7, 1025), reverse(1, 7, 1024, 17)}) {
    EXPECT_EQ(table.find(r, reverse_hash), kNoFlow);
  }
  EXPECT_EQ(table.find(kClient, reverse_hash), kNoFlow) << "an entry of the other direction";
  EXPECT_EQ(table.find(reverse(1, 7, 1024), forward_hash), kNoFlow);
}

TEST_F(TableTest, a_full_table_allocates_nothing_until_a_flow_ends) {
  std::vector<FlowId> ids;
  const auto capacity = static_cast<uint16_t>(table.capacity());
  for (uint16_t i = 0; i < capacity; ++i) {
    ForwardKey f = kClient;
    f.client_port = be16::from(static_cast<uint16_t>(1000 + i));
    ids.push_back(add(f, 0, 0, static_cast<uint16_t>(1024 + i)));
    ASSERT_NE(ids.back(), kNoFlow);
  }
  EXPECT_EQ(table.used(), table.capacity());
  EXPECT_EQ(table.allocate(), kNoFlow);
  table.erase(ids[17]);
  EXPECT_EQ(table.allocate(), ids[17]);
  EXPECT_EQ(table.allocate(), kNoFlow);
}

TEST_F(TableTest, a_reused_record_remembers_nothing_of_the_flow_before) {
  const FlowId id = add(kClient, 1, 7, 1024);
  Record& r = table.at(id);
  r.early_reuse = true;
  r.bound = false;
  r.hop_stamp = 9;
  r.state = tcp::Track::closed;
  r.last_seen = 77;
  table.erase(id);
  ASSERT_EQ(table.allocate(), id);
  EXPECT_EQ(r.protocol, kBeingBuilt);
  EXPECT_FALSE(r.early_reuse);
  EXPECT_TRUE(r.bound);
  EXPECT_EQ(r.hop_stamp, 0);
  EXPECT_EQ(r.state, tcp::Track::syn_sent);
  EXPECT_EQ(r.last_seen, 0u);
  EXPECT_EQ(table.aside(id).wheel_slot, kNotArmed);
  table.release(id);
  EXPECT_EQ(table.used(), 0u);
}

#ifndef NDEBUG
using TableDeathTest = TableTest;

TEST_F(TableDeathTest, a_key_that_is_in_the_table_is_not_inserted_again) {
  add(kClient, 1, 7, 1024);
  const FlowId same_reverse = table.allocate();
  ForwardKey f = kClient;
  f.client_port = be16::from(40001);
  fill(table.at(same_reverse), f, 1, 7, be16::from(1024));
  EXPECT_DEATH(table.insert(same_reverse), "find\\(reverse");
  const FlowId same_forward = table.allocate();
  fill(table.at(same_forward), kClient, 1, 7, be16::from(1025));
  EXPECT_DEATH(table.insert(same_forward), "find\\(forward");
}

TEST_F(TableDeathTest, a_flow_is_not_erased_while_its_timer_is_armed) {
  const FlowId id = add(kClient, 1, 7, 1024);
  table.aside(id).wheel_slot = 3;
  EXPECT_DEATH(table.erase(id), "wheel_slot");
}
#endif

// With a secret of zeros the address of an IPv4 key has no weight, so these keys share their two
// buckets.
class AimedTable : public TableTest {
 protected:
  AimedTable() { table = Table(4096, std::array<uint64_t, 8>{}, backends); }
};

TEST_F(AimedTable, too_many_forward_keys_in_one_place_are_refused_and_nothing_is_lost) {
  std::vector<ForwardKey> in;
  bool refused = false;
  for (uint8_t i = 0; i < 40 && !refused; ++i) {
    const ForwardKey f{IpAddress::v4(192, 0, 2, i), be16::from(40000), 5};
    const FlowId id = table.allocate();
    fill(table.at(id), f, 0, 0, be16::from(static_cast<uint16_t>(1024 + i)));
    if (table.insert(id)) {
      in.push_back(f);
    } else {
      refused = true;
      table.release(id);
      EXPECT_EQ(find(f), kNoFlow);
      EXPECT_EQ(find(reverse(0, 0, static_cast<uint16_t>(1024 + i))), kNoFlow);
    }
  }
  EXPECT_TRUE(refused);
  ASSERT_EQ(in.size(), 16u) << "two buckets of eight";
  EXPECT_EQ(table.used(), 16u);
  for (uint16_t i = 0; i < 16; ++i) {
    const FlowId id = find(in[i]);
    ASSERT_NE(id, kNoFlow);
    EXPECT_EQ(find(reverse(0, 0, static_cast<uint16_t>(1024 + i))), id);
    table.erase(id);
  }
  EXPECT_EQ(table.used(), 0u);
}

TEST_F(AimedTable, when_the_reverse_key_finds_no_room_the_forward_key_is_taken_back) {
  std::vector<Endpoint> many;
  for (uint8_t i = 0; i < 40; ++i) many.push_back({IpAddress::v4(10, 9, 0, i), be16::from(80)});
  Table t(4096, std::array<uint64_t, 8>{}, many);
  std::vector<ForwardKey> in;
  FlowId refused = kNoFlow;
  for (uint8_t i = 0; i < 40 && refused == kNoFlow; ++i) {
    const ForwardKey f{IpAddress::v4(192, 0, 2, 1), be16::from(static_cast<uint16_t>(40000 + i)),
                       5};
    const FlowId id = t.allocate();
    fill(t.at(id), f, i, 3, be16::from(1024));
    if (t.insert(id)) {
      in.push_back(f);
    } else {
      refused = id;
      EXPECT_EQ(t.find(f, t.hash(f)), kNoFlow);
    }
  }
  ASSERT_NE(refused, kNoFlow);
  EXPECT_EQ(in.size(), 16u);
  // The record is still the caller's: another source port has room.
  t.at(refused).source_port = be16::from(1025);
  EXPECT_TRUE(t.insert(refused));
  EXPECT_EQ(t.used(), 17u);
}

TEST(Table, every_capacity_can_be_filled_to_the_last_record) {
  const auto backends = some_backends();
  for (const uint32_t capacity : {64u, 65u, 100u, 1000u, 4095u, 65536u, 300000u}) {
    for (uint64_t seed = 0; seed < (capacity < 5000 ? 50 : 2); ++seed) {
      Table t(capacity, secret(seed), backends);
      const auto forward = [](uint32_t i) {
        return ForwardKey{IpAddress::v4(10, static_cast<uint8_t>(i >> 16),
                                        static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)),
                          be16::from(static_cast<uint16_t>(i * 7)), 1};
      };
      for (uint32_t i = 0; i < capacity; ++i) {
        const FlowId id = t.allocate();
        ASSERT_NE(id, kNoFlow);
        fill(t.at(id), forward(i), static_cast<uint16_t>(i % 3), static_cast<uint16_t>(i >> 16),
             be16::from(static_cast<uint16_t>(i)));
        ASSERT_TRUE(t.insert(id)) << i << " of " << capacity << ", seed " << seed;
      }
      for (uint32_t i = 0; i < capacity; ++i) {
        const FlowId id = t.find(forward(i), t.hash(forward(i)));
        ASSERT_NE(id, kNoFlow);
        ASSERT_EQ(t.at(id).client, forward(i).client);
        const ReverseKey r{backends[i % 3].address, backends[i % 3].port,
                           static_cast<uint16_t>(i >> 16), be16::from(static_cast<uint16_t>(i)), 6};
        ASSERT_EQ(t.find(r, t.hash(r)), id);
      }
    }
  }
}

TEST(Table, says_what_a_flow_costs) {
  const auto backends = some_backends();
  EXPECT_EQ(Table(1000000, secret(1), backends).bytes_each(), 64u + 16u + 21u);
  EXPECT_LE(Table((1u << 20) + 1, secret(1), backends).bytes_each(), 64u + 16u + 21u)
      << "no jump behind a power of two";
}

// Random flows come and go against two ordered maps that know the truth.
class TableModel : public testing::TestWithParam<uint64_t> {
 protected:
  using Forward = std::tuple<IpAddress, uint16_t, uint16_t>;
  using Reverse =
      std::tuple<uint16_t, uint16_t, uint16_t, uint8_t>;  // backend, source, port, protocol

  static ForwardKey key(const Forward& f) {
    return {std::get<0>(f), be16::from(std::get<1>(f)), std::get<2>(f)};
  }
  ReverseKey key(const Reverse& r) const {
    return {backends[std::get<0>(r)].address, backends[std::get<0>(r)].port, std::get<1>(r),
            be16::from(std::get<2>(r)), std::get<3>(r)};
  }
  uint32_t below(uint32_t n) { return static_cast<uint32_t>(random() % n); }

  // Few values for each field, so that most keys share most fields with others.
  Forward some_forward() {
    IpAddress a =
        IpAddress::v4(10, 0, static_cast<uint8_t>(below(4)), static_cast<uint8_t>(below(16)));
    if (below(2) == 0) {
      a = *IpAddress::parse("2001:db8::");
      a.bytes[below(16)] ^= static_cast<uint8_t>(1u << below(8));
    }
    return {a, static_cast<uint16_t>(below(64)), static_cast<uint16_t>(below(4))};
  }
  Reverse some_reverse() {
    return {static_cast<uint16_t>(below(static_cast<uint32_t>(backends.size()))),
            static_cast<uint16_t>(below(4)), static_cast<uint16_t>(below(1024)),
            static_cast<uint8_t>(below(2) == 0 ? 6 : 17)};
  }

  std::mt19937_64 random{GetParam()};
  std::vector<Endpoint> backends = some_backends();
};

TEST_P(TableModel, agrees_with_ordered_maps_up_to_a_full_table) {
  constexpr uint32_t kCapacity = 1500;
  constexpr int kSteps = 600000;
  Table table(kCapacity, secret(GetParam()), backends);
  std::map<Forward, FlowId> forwards;
  std::map<Reverse, FlowId> reverses;
  std::vector<std::pair<Forward, Reverse>> flow(kCapacity);
  std::vector<FlowId> present;
  unsigned refused_full = 0, unbound_again = 0;
  unsigned filled = 0;
  bool growing = true;

  for (int step = 0; step < kSteps; ++step) {
    // The table swings between full and nearly empty.
    if (present.size() >= kCapacity && below(2000) == 0) growing = false;
    if (present.size() < 100) growing = true;
    const uint32_t what = below(100);
    const uint32_t inserts = growing ? 35 : 15;
    if (what < inserts) {
      const Forward f = some_forward();
      const Reverse r = some_reverse();
      if (forwards.count(f) != 0 || reverses.count(r) != 0) continue;
      const FlowId id = table.allocate();
      if (present.size() == kCapacity) {
        ASSERT_EQ(id, kNoFlow);
        ++refused_full;
        continue;
      }
      ASSERT_LT(id, kCapacity);
      fill(table.at(id), key(f), std::get<0>(r), std::get<1>(r), be16::from(std::get<2>(r)),
           std::get<3>(r));
      const bool later =
          below(3) == 0;  // as a spliced connection: its backend comes when it is known
      table.at(id).bound = !later;
      ASSERT_TRUE(table.insert(id));
      forwards[f] = id;
      if (!later) reverses[r] = id;
      flow[id] = {f, r};
      present.push_back(id);
      filled += present.size() == kCapacity ? 1 : 0;
    } else if (what < 50) {
      if (present.empty()) continue;
      const size_t i = below(static_cast<uint32_t>(present.size()));
      const FlowId id = present[i];
      const bool bound = table.at(id).bound;
      table.erase(id);
      forwards.erase(flow[id].first);
      if (bound) reverses.erase(flow[id].second);
      present[i] = present.back();
      present.pop_back();
    } else if (what < 70) {
      const Forward f = some_forward();
      const auto it = forwards.find(f);
      ASSERT_EQ(table.find(key(f), table.hash(key(f))),
                it == forwards.end() ? kNoFlow : it->second);
    } else if (what < 90) {
      const Reverse r = some_reverse();
      const auto it = reverses.find(r);
      ASSERT_EQ(table.find(key(r), table.hash(key(r))),
                it == reverses.end() ? kNoFlow : it->second);
    } else if (what < 94 && !present.empty()) {
      const FlowId id = present[below(static_cast<uint32_t>(present.size()))];
      Record& record = table.at(id);
      if (record.bound) {
        table.unbind(id);
        reverses.erase(flow[id].second);
        ++unbound_again;
      } else if (const Reverse r = some_reverse(); reverses.count(r) == 0) {
        fill(record, key(flow[id].first), std::get<0>(r), std::get<1>(r),
             be16::from(std::get<2>(r)), std::get<3>(r));
        ASSERT_TRUE(table.bind(id));
        reverses[r] = id;
        flow[id].second = r;
      }
    } else if (!present.empty()) {
      const FlowId id = present[below(static_cast<uint32_t>(present.size()))];
      const ForwardKey f = key(flow[id].first);
      const ReverseKey r = key(flow[id].second);
      ASSERT_EQ(table.find(f, table.hash(f)), id);
      if (table.at(id).bound) {
        ASSERT_EQ(table.find(r, table.hash(r)), id);
      }
    }
    ASSERT_EQ(table.used(), present.size());
  }
  for (const FlowId id : present) {
    ASSERT_EQ(table.find(key(flow[id].first), table.hash(key(flow[id].first))), id);
    const auto it = reverses.find(flow[id].second);
    ASSERT_EQ(table.find(key(flow[id].second), table.hash(key(flow[id].second))),
              it == reverses.end() ? kNoFlow : it->second);
  }
  EXPECT_GT(unbound_again, 1000u);
  EXPECT_GT(refused_full, 100u) << "the test must have been at the limit";
  EXPECT_GT(filled, 3u);
}

INSTANTIATE_TEST_SUITE_P(Seeds, TableModel, testing::Values(1, 2, 3, 4, 5));

class Victim : public TableTest {
 protected:
  FlowId with(tcp::Track state, Tick last_seen) {
    ForwardKey f = kClient;
    f.client_port = be16::from(next_port);
    const FlowId id = add(f, 0, 0, next_port++);
    table.at(id).state = state;
    table.at(id).last_seen = last_seen;
    return id;
  }
  uint16_t next_port = 2000;
};

TEST_F(Victim, of_an_empty_table_is_nobody) {
  EXPECT_EQ(table.victim(1, 1000), kNoFlow);
}

TEST_F(Victim, is_never_an_established_or_closing_flow_nor_an_assured_datagram_flow) {
  for (int i = 0; i < 20; ++i) {
    with(tcp::Track::established, 0);
    with(tcp::Track::fin_client, 0);
    with(tcp::Track::fin_backend, 0);
    with(tcp::Track::connecting, 0);  // a whole request waits for its backend
    set_talk(table.at(with(tcp::Track::datagram, 0)), Talk::assured);
  }
  for (uint64_t random = 0; random < 100; ++random) EXPECT_EQ(table.victim(random, 1000), kNoFlow);
}

TEST_F(Victim, has_ended_rather_than_is_half_open_and_has_been_idle_longest) {
  with(tcp::Track::syn_sent, 100);
  const FlowId half_open = with(tcp::Track::syn_received, 50);
  EXPECT_EQ(table.victim(1, 1000, 1000), half_open);
  const FlowId newest = with(tcp::Track::dead, 950);
  EXPECT_EQ(table.victim(1, 1000, 1000), newest)
      << "ended, though seen later than the half-open one";
  with(tcp::Track::closed, 940);
  const FlowId oldest = with(tcp::Track::time_wait, 930);
  EXPECT_EQ(table.victim(1, 1000, 1000), oldest);
}

TEST_F(Victim, is_a_datagram_flow_that_is_not_assured_when_nothing_has_ended) {
  with(tcp::Track::syn_sent, 100);
  const FlowId unanswered = with(tcp::Track::datagram, 50);
  EXPECT_EQ(table.victim(1, 1000, 1000), unanswered);
  set_talk(table.at(unanswered), Talk::answered);
  EXPECT_EQ(table.victim(1, 1000, 1000), unanswered) << "spoofed questions are answered too";
  set_talk(table.at(unanswered), Talk::assured);
  EXPECT_NE(table.victim(1, 1000, 1000), unanswered);
}

TEST_F(Victim, is_found_across_the_wrap_of_the_ticks) {
  with(tcp::Track::time_wait, 5);
  const FlowId oldest = with(tcp::Track::time_wait, 0xfffffff0u);
  EXPECT_EQ(table.victim(1, 10, 1000), oldest);
}

TEST_F(Victim, is_no_record_that_is_free_or_being_built) {
  const FlowId gone = with(tcp::Track::time_wait, 1);
  table.erase(gone);
  const FlowId built = table.allocate();
  EXPECT_EQ(built, gone);
  for (uint64_t random = 0; random < 20; ++random) EXPECT_EQ(table.victim(random, 1000), kNoFlow);
}

TEST_F(Victim, differs_with_the_random_number) {
  for (uint16_t i = 0; i < 100; ++i) with(tcp::Track::time_wait, i);
  std::map<FlowId, int> seen;
  for (uint64_t random = 0; random < 200; ++random) ++seen[table.victim(random, 1000, 4)];
  EXPECT_GT(seen.size(), 20u);
}

}  // namespace
}  // namespace limpet::flow
