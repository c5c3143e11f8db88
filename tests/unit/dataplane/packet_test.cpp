#include "packet.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace limpet::dataplane {
namespace {

// What makes the compiler see that a frame ends: nobody but who ends one can say so.
static_assert(!std::is_default_constructible_v<Ended>);
static_assert(std::is_empty_v<Ended> && std::is_trivially_copyable_v<Ended>);

TEST(Packet, length_is_that_of_its_ip_packet) {
  Packet p;
  p.f.l3 = 14;
  p.f.end = 54;
  EXPECT_EQ(p.length(), 40u);
}

}  // namespace
}  // namespace limpet::dataplane
