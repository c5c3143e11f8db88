// Uploads and pipelined requests whose judged octets are copied on their way: they arrive as they
// must, with and without loss, and copying never makes them wait where it need not.
#include "named.h"

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

struct Upload {
  uint64_t copied = 0, uncopied = 0, unlike = 0;
};

// `requests` of `size` octets each in chunks of `chunk`; per mille of losses towards limpet and
// behind it.
Upload upload(size_t requests, size_t size, size_t chunk, unsigned loss) {
  Named n;
  n.scenario.client.receive_buffer = n.scenario.server.receive_buffer = size_t{1} << 20;
  n.scenario.server.check.data_probes = n.scenario.client.check.data_probes = true;
  for (LinkOptions* link : {&n.scenario.client_up, &n.scenario.client_down, &n.scenario.server_up,
                            &n.scenario.server_down})
    link->loss = loss;
  n.options.service = R"(forwarded = "x-forwarded-for"; persistence = ();)";
  const std::string head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  std::string wanted = head;
  wanted.insert(head.size() - 2, "X-Forwarded-For: " + client_address(false).to_string() + "\r\n");
  for (size_t i = 0; i < requests; ++i) {
    n.ask(head, wanted, chunked(seeded(i, size), chunk)).pipelined = requests != 1;
    n.answer("HTTP/1.1 204 No Content\r\n\r\n", "");
  }
  Upload r;
  n.run();
  r.copied = n.worker().splice_copied_bytes.get();
  r.uncopied = n.worker().splice_uncopied.get();
  r.unlike = n.worker().splice_unlike.get();
  return r;
}

class Uploads : public testing::TestWithParam<size_t> {};
INSTANTIATE_TEST_SUITE_P(Chunks, Uploads, testing::Values(1, 100, 4096),
                         [](const auto& p) { return "of_" + std::to_string(p.param); });

TEST_P(Uploads, pass_as_fast_as_their_window_lets_them) {
  const Upload u = upload(1, 1 << 20, GetParam(), 0);
  EXPECT_EQ(u.uncopied, 0u) << "its window says how much may be copied";
  EXPECT_EQ(u.unlike, 0u);
  EXPECT_GT(u.copied, 0u);
  if (GetParam() == 4096) {
    EXPECT_LT(u.copied, 10000u) << "data need no copy";
  }
}

TEST_P(Uploads, pass_with_losses_on_both_links) {
  const Upload u = upload(1, 1 << 18, GetParam(), 10);
  EXPECT_EQ(u.unlike, 0u) << "who repeats himself honestly";
}

TEST(Copies, pipelined_posts_with_losses) {
  const Upload u = upload(40, 3000, 700, 20);
  EXPECT_EQ(u.unlike, 0u);
  EXPECT_GT(u.copied, 40u * 40);
}

}  // namespace
}  // namespace limpet::sim
