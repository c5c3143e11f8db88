// Entries of type header through a real worker: who goes where, and who answers in another's place.
#include <set>

#include "limpet/affinity/header.h"
#include "limpet/affinity/source.h"
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using affinity::Reason;
using affinity::RequestFlag;

std::string keyed() {
  const std::string web =
      R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";)";
  return with(spliced(), web + "\n    " + R"(persistence = ( { type = "source"; } );)",
              web + R"( persistence = ( { type = "header"; name = "X-User-ID"; } );)");
}

class SpliceHeaderTest : public SpliceTest {
 protected:
  SpliceHeaderTest() : SpliceTest(keyed()) {}

  IpAddress home(const char* value) {
    const dataplane::Snapshot& s = *rig.shared().snapshot.load();
    const dataplane::PoolEntry& pool = s.pools[s.services[rig.service("web")].pool];
    const uint64_t hash =
        affinity::hash_header(affinity::seed_of("web"), *affinity::hash_key(value));
    return s.backends[pool.members[pool.maglev.first_choice(hash)]].address;
  }
  uint64_t reason(Reason r) {
    return rig.stats().services[rig.service("web")].reasons[static_cast<size_t>(r)].get();
  }
  const dataplane::PersistenceCounters& entry() {
    return rig.stats().persistence[rig.service("web")][0];
  }
  uint64_t said(RequestFlag f) { return entry().request[static_cast<size_t>(f)].get(); }
};

TEST_F(SpliceHeaderTest, users_go_by_their_value_from_whatever_address) {
  std::set<std::string> used;
  uint16_t port = 41000;
  for (const char* user : {"1", "2", "3", "4", "5", "6", "7", "8"}) {
    const std::string line = std::string("x-user-id: ") + user + "\r\n";
    const IpAddress to = asks(port++, line);
    EXPECT_EQ(to, home(user)) << user;
    EXPECT_EQ(asks(port++, line, "10.1.0.10"), to) << user;
    used.insert(to.to_string());
  }
  EXPECT_GT(used.size(), 1u);
}

TEST_F(SpliceHeaderTest, a_connection_counts_what_its_header_did) {
  greet();
  const Bytes request = bytes_of("GET / HTTP/1.1\r\nX-User-ID: 17\r\n\r\n");
  const Seen syn =
      only(rig.send(kFront,
                    client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = request})),
           kBack);
  backend = syn.to;
  source_port = syn.from_port;
  EXPECT_EQ(backend, home("17"));
  const Seen head = only(
      rig.send(kBack,
               from_backend(
                   {.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}})),
      kBack);
  EXPECT_EQ(head.data, request) << "unchanged";
  EXPECT_EQ(said(RequestFlag::valid), 1u);
  EXPECT_EQ(entry().decided.get(), 1u);
  EXPECT_EQ(reason(Reason::header), 1u);
  EXPECT_EQ(rig.only_flow().reason, static_cast<uint8_t>(Reason::header));
}

// Its own backend refuses: the next one of the value's row, as for all who bring it.
TEST_F(SpliceHeaderTest, who_is_refused_goes_on_by_his_value) {
  greet();
  const Bytes request = bytes_of("GET / HTTP/1.1\r\nX-User-ID: 17\r\n\r\n");
  Seen syn =
      only(rig.send(kFront,
                    client({.flags = kAck | kPsh, .seq = 1001, .ack = isn + 1, .data = request})),
           kBack);
  backend = syn.to;
  source_port = syn.from_port;
  syn = only(rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 0, .ack = 1001})), kBack);
  EXPECT_NE(syn.to, home("17"));
  backend = syn.to;
  source_port = syn.from_port;
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  EXPECT_EQ(reason(Reason::header_redirected), 1u);
  EXPECT_EQ(said(RequestFlag::down), 1u);
  EXPECT_EQ(entry().redispatched.get(), 1u);
  EXPECT_EQ(entry().decided.get(), 1u);
}

TEST_F(SpliceHeaderTest, who_has_no_value_is_balanced) {
  std::set<std::string> used;
  for (uint16_t port = 42000; port < 42020; ++port) used.insert(asks(port, "").to_string());
  EXPECT_GT(used.size(), 1u);
  establish();
  EXPECT_EQ(reason(Reason::header_none), 1u);
  EXPECT_EQ(said(RequestFlag::none), 1u);
  EXPECT_EQ(entry().decided.get(), 0u);
}

}  // namespace
}  // namespace limpet::worker_test
