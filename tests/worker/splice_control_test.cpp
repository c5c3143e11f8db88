// What control and an operator see of mode splice: notes for the session log and live
// edits.
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

}  // namespace
}  // namespace limpet::worker_test
