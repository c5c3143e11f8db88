// What no byte string may do to the parser: read behind its end, or pass when it is not complete.
// The frames stand in storage that ends with them, so the address sanitizer sees the first byte too
// many.
#include <gtest/gtest.h>

#include "frames.h"
#include "limpet/wire/tcp.h"

namespace limpet::wire {
namespace {

using test::Bytes;

const Bytes* const kAll[] = {
    &test::kTcp4Syn,         &test::kTcp4Data,     &test::kUdp4,
    &test::kTcp6Data,        &test::kUdp6,         &test::kEcho4,
    &test::kEcho6,           &test::kSolicitation, &test::kDuplicateDetection,
    &test::kAdvertisement,   &test::kArpRequest,   &test::kFragmentationNeeded4,
    &test::kPortUnreachable6};

// The promises of frame.h that all other code builds on.
void expect_inside(const Bytes& b, const Frame& f) {
  if (f.kind == FrameKind::bad) {
    EXPECT_NE(f.drop, Drop::none);
    return;
  }
  EXPECT_EQ(f.drop, Drop::none);
  EXPECT_EQ(f.l3, 14);
  EXPECT_LE(f.l3, f.l4);
  EXPECT_LE(f.l4, f.payload);
  EXPECT_LE(f.payload, f.end);
  EXPECT_LE(f.end, b.size());
}

TEST(TruncatedFrame, is_never_taken_for_a_whole_one) {
  for (const Bytes* whole : kAll) {
    ASSERT_NE(test::parse(*whole).kind, FrameKind::bad);
    for (size_t length = 0; length < whole->size(); ++length) {
      const Frame f = test::parse(test::exactly(*whole, length));
      ASSERT_EQ(f.kind, FrameKind::bad) << length;
      ASSERT_EQ(f.drop, Drop::frame_truncated) << length << ": " << drop_name(f.drop);
    }
  }
}

TEST(TruncatedFrame, with_extension_headers_or_options_is_not_either) {
  const Bytes extended =
      test::edited(test::slice(test::kUdp6, 0, 54) +
                       test::hex("3c00 0104 0000 0000 2b00 0104 0000 0000 1100 0000 0000 0000") +
                       test::slice(test::kUdp6, 54, test::kUdp6.size()),
                   {{18, {0, 39}}, {20, {0}}});
  ASSERT_EQ(test::parse(extended).kind, FrameKind::udp);
  for (size_t length = 0; length < extended.size(); ++length)
    ASSERT_EQ(test::parse(test::exactly(extended, length)).drop, Drop::frame_truncated) << length;
}

// The IP length goes down with the frame: now the inner headers have to notice.
TEST(ShortenedPacket, stays_inside_itself) {
  for (const Bytes* whole : kAll) {
    if (whole == &test::kArpRequest) continue;
    const bool v4 = (*whole)[12] == 8;
    for (size_t length = v4 ? 34 : 54; length < whole->size(); ++length) {
      Bytes b = test::exactly(*whole, length);
      test::put16(b, v4 ? 16 : 18, static_cast<uint16_t>(length - (v4 ? 14 : 54)));
      if (v4) {
        test::put16(b, 24, 0);
        test::put16(b, 24, test::reference_checksum(test::slice(b, 14, 34)));
      }
      const Frame f = parse_frame(b, {.l4_checksum = true});
      expect_inside(b, f);
      ASSERT_NE(f.drop, Drop::frame_truncated) << length;
    }
  }
}

TEST(DamagedFrame, with_any_byte_set_to_any_value_stays_inside_itself) {
  for (const Bytes* whole : kAll)
    for (size_t at = 0; at < whole->size(); ++at)
      for (unsigned value = 0; value < 256; ++value) {
        Bytes b = *whole;
        b[at] = static_cast<uint8_t>(value);
        for (const Verified verified : {Verified{}, Verified{true, true}}) {
          const Frame f = parse_frame(b, verified);
          expect_inside(b, f);
          if (f.kind == FrameKind::tcp) tcp_options(b, f);
        }
        if (HasFailure()) FAIL() << "byte " << at << " = " << value;
      }
}

// A single flipped bit anywhere from the IP header on is always noticed, where a checksum covers
// it.
TEST(DamagedFrame, with_one_bit_flipped_is_refused_where_checksums_reach) {
  for (const Bytes* whole : {&test::kTcp4Syn, &test::kTcp4Data, &test::kEcho4})
    for (size_t bit = size_t{14} * 8; bit < whole->size() * 8; ++bit) {
      Bytes b = *whole;
      b[bit / 8] = static_cast<uint8_t>(b[bit / 8] ^ (1u << bit % 8));
      ASSERT_EQ(test::parse(b).kind, FrameKind::bad) << "bit " << bit;
    }
}

TEST(RandomBytes, behind_a_valid_ethertype_stay_inside) {
  test::Random random(5);
  for (int round = 0; round < 100000; ++round) {
    const size_t length = test::below(random, 120);
    Bytes b(length);
    for (uint8_t& byte : b) byte = static_cast<uint8_t>(random() % 3 == 0 ? 0 : random());
    if (length > 14) {
      const bool v4 = random() % 2;
      b[12] = v4 ? 0x08 : 0x86;
      b[13] = v4 ? 0x00 : 0xdd;
      b[14] = v4 ? 0x45 : 0x60;
      if (!v4 && length > 54) {
        b[18] = 0;
        b[19] = static_cast<uint8_t>(length - 54);
        const uint8_t next[] = {0, 6, 17, 43, 44, 58, 60};
        b[20] = next[random() % 7];
        b[54] = next[random() % 7];
      }
      if (v4 && length > 34) {
        b[16] = 0;
        b[17] = static_cast<uint8_t>(length - 14);
      }
    }
    const Frame f = parse_frame(b, {.ip_checksum = true, .l4_checksum = true});
    expect_inside(b, f);
    if (f.kind == FrameKind::tcp) tcp_options(b, f);
    ASSERT_FALSE(HasFailure()) << "round " << round;
  }
}

TEST(OversizedFrame, keeps_its_offsets_in_16_bits) {
  Bytes b = test::kTcp4Data + Bytes(70000, 0);
  EXPECT_EQ(test::parse(b).kind, FrameKind::tcp);
  EXPECT_EQ(test::parse(b).end, test::kTcp4Data.size());
  test::put16(b, 16, 65535);  // 65549 bytes of frame: more than offsets hold
  EXPECT_EQ(parse_frame(b, {true, true}).drop, Drop::frame_truncated);
  Bytes other = test::edited(b, {{12, {0x88, 0xcc}}});
  EXPECT_EQ(test::parse(other).end, 65535);
}

}  // namespace
}  // namespace limpet::wire
