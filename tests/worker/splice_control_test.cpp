// What control and an operator see of mode splice: notes for the session log, live edits, and a
// worker under a flood of SYNs.
#include <rte_ring_elem.h>

#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::SessionNote;
using tcp::Track;

class SpliceControl : public SpliceTest {
 protected:
  SpliceControl()
      : SpliceTest(
            with(spliced(),
                 R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } );)",
                 R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    session_log = true;
    persistence = ( { type = "cookie"; mode = "insert"; session_name = "SRV"; value = "plain"; },
                    { type = "source"; } );)")) {}
  std::vector<SessionNote> notes() {
    std::vector<SessionNote> all;
    SessionNote n;
    while (rte_ring_sc_dequeue_elem(rig.shared().rings[0].notes, &n, sizeof n) == 0)
      all.push_back(n);
    return all;
  }
  dataplane::FlowEdits edits() {
    rig.keep.push_back(std::make_unique<dataplane::Query>());
    dataplane::Query& q = *rig.keep.back();
    q.kind = dataplane::QueryKind::flows;
    q.flows.resize(10);
    q.edits.resize(10);
    rig.publisher().ask(0, &q);
    rig.run();
    EXPECT_TRUE(q.done.load());
    EXPECT_EQ(q.filled, 1u);
    return q.edits[0];
  }
};

TEST_F(SpliceControl, one_note_for_each_connection_once_it_is_bound) {
  greet();
  rig.send(kFront, client({.flags = kAck, .seq = 1001, .ack = isn + 1, .data = kRequest}));
  EXPECT_TRUE(notes().empty()) << "no backend has answered yet";
  rig.pass(10s);  // nobody does: the next one, and the next
  const std::vector<SessionNote> refused = notes();
  ASSERT_EQ(refused.size(), 1u);
  EXPECT_EQ(refused[0].backend, dataplane::kNoSlot);
  EXPECT_EQ(refused[0].reason, static_cast<uint8_t>(affinity::Reason::no_backend));
}

TEST_F(SpliceControl, a_note_says_who_came_where_and_why) {
  establish();
  const std::vector<SessionNote> all = notes();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].client, kClient);
  EXPECT_EQ(all[0].client_port.host(), 40000);
  EXPECT_EQ(all[0].service, rig.service("web"));
  EXPECT_EQ(all[0].backend, rig.backend_at(backend, 8080));
  EXPECT_EQ(all[0].reason, static_cast<uint8_t>(affinity::Reason::source));
  ASSERT_EQ(all[0].cookies, 1);
  EXPECT_EQ(all[0].request[0], affinity::RequestFlag::none);
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 1, .data = kRequest}));
  EXPECT_TRUE(notes().empty()) << "a later request is of the same connection";
}

TEST_F(SpliceControl, a_note_that_finds_the_ring_full_is_counted) {
  SessionNote n;
  while (rte_ring_sp_enqueue_elem(rig.shared().rings[0].notes, &n, sizeof n) == 0) {
  }
  establish();
  EXPECT_EQ(rig.stats().worker.session_notes_lost.get(), 1u);
}

TEST_F(SpliceControl, an_edit_is_live_until_its_receiver_has_it) {
  establish();
  EXPECT_EQ(edits().out, 0);
  const std::string head = "HTTP/1.1 204 No Content\r\n\r\n";
  const Seen answer = only(
      rig.send(kBack,
               from_backend({.flags = kAck, .seq = 7001, .ack = 1028, .data = bytes_of(head)})),
      kFront);
  ASSERT_GT(answer.data.size(), head.size());
  EXPECT_EQ(edits().in, 0);
  EXPECT_EQ(edits().out, 1);
  const auto all = isn + 1 + static_cast<uint32_t>(answer.data.size());
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = all - 3}));
  EXPECT_EQ(edits().out, 1) << "its carrier is not acknowledged";
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = all}));
  EXPECT_EQ(edits().out, 0);
}

// 100,000 SYNs a second from everywhere, for two seconds of the worker's clock.
TEST_F(SpliceTest, a_flood_of_syns_makes_no_flow_and_honest_clients_complete) {
  const Bytes options = {2, 4, 5, 0xb4, 4, 2, 1, 1};
  unsigned honest = 0;
  for (unsigned ms = 0; ms < 2000; ++ms) {
    for (unsigned i = 0; i < 100; ++i) {
      const auto r = static_cast<uint32_t>(rig.random());
      const IpAddress from =
          IpAddress::v4(172, static_cast<uint8_t>(r >> 8), static_cast<uint8_t>(r >> 16),
                        static_cast<uint8_t>(r >> 24));
      rig.inject(kFront, tcp_frame(rig.to_us(from), {.from = from, .to = kVip4},
                                   static_cast<uint16_t>(1024 + r % 60000), 80,
                                   {.flags = kSyn, .seq = r, .options = options}));
      if (i % 25 == 24) rig.run();
    }
    if (ms % 20 == 0) {  // a hundred of them in the midst
      const auto port = static_cast<uint16_t>(50000 + honest);
      const auto frame = [&](const Tcp& t) {
        return tcp_frame(rig.to_us(kClient), {.from = kClient, .to = kVip4}, port, 80, t);
      };
      const Seen hello =
          only(rig.send(kFront, frame({.flags = kSyn, .seq = 1000, .options = options})), kFront);
      const Seen syn = only(
          rig.send(kFront,
                   frame({.flags = kAck, .seq = 1001, .ack = hello.seq + 1, .data = kRequest})),
          kBack);
      backend = syn.to, source_port = syn.from_port;
      const Seen head = only(
          rig.send(kBack, from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001})), kBack);
      honest += head.data == kRequest ? 1 : 0;
    }
    rig.now = rig.now + 1ms;
  }
  EXPECT_EQ(honest, 100u);
  EXPECT_EQ(rig.flows(), 100u);
  EXPECT_EQ(rig.stats().worker.flows_created.get(), 100u);
  EXPECT_EQ(rig.stats().worker.splice_stateless_answers.get(), 200100u);
}

}  // namespace
}  // namespace limpet::worker_test
