#include "summary.h"

#include <gtest/gtest.h>

namespace limpet::apps {
namespace {

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(Summary, adds_up_over_workers_and_names_drops_by_frequency) {
  dataplane::WorkerStats a(2, 1, 2);
  dataplane::WorkerStats b(2, 1, 2);
  a.worker.rx.add(100);
  b.worker.rx.add(11);
  a.worker.forwarded.add(70);
  b.worker.consumed.add(5);
  b.worker.tx_failed.add(2);
  a.services[1].connections_total.add(7);
  b.services[0].connections_total.add(2);
  b.services[0].connections_active.add(1);
  a.drops[0][static_cast<size_t>(Drop::no_backend)].packets.add(3);
  a.drops[1][static_cast<size_t>(Drop::ip_fragment)].packets.add(20);
  b.drops[1][static_cast<size_t>(Drop::ip_fragment)].packets.add(13);
  a.worker.ring_out_dropped.add(4);
  const dataplane::WorkerStats* workers[] = {&a, &b};

  const std::string text =
      summarize({.uptime = std::chrono::seconds(90061), .workers = workers, .leaked_mbufs = 0});
  EXPECT_TRUE(has(text, "limpet ran 1 d 1:01:01 with 2 workers")) << text;
  EXPECT_TRUE(has(text, "9 balanced, 1 open at the end")) << text;
  EXPECT_TRUE(has(text, "111 received, 70 forwarded, 5 answered or consumed")) << text;
  EXPECT_TRUE(has(text, "40 dropped")) << text;
  EXPECT_TRUE(has(text, "2 not sent")) << text;
  EXPECT_TRUE(has(text, "33  ip_fragment: fragment")) << text;
  EXPECT_TRUE(has(text, "3  no_backend: ")) << text;
  EXPECT_LT(text.find("ip_fragment"), text.find("no_backend"));
  EXPECT_TRUE(has(text, "4  the ring towards another worker was full")) << text;
  EXPECT_FALSE(has(text, "own_source_mac")) << "zeros are left out: " << text;
  EXPECT_FALSE(has(text, "LEAKED")) << text;
}

TEST(Summary, shouts_about_leaks) {
  const dataplane::WorkerStats one(1, 1, 1);
  const dataplane::WorkerStats* workers[] = {&one};
  const std::string text = summarize({.uptime = {}, .workers = workers, .leaked_mbufs = 12});
  EXPECT_TRUE(has(text, "limpet ran 0:00:00 with 1 worker\n")) << text;
  EXPECT_TRUE(has(text, "LEAKED               12  packet buffers")) << text;
}

}  // namespace
}  // namespace limpet::apps
