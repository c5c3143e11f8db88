// Headers and options of TCP segments that we originate.
#include "limpet/wire/segment.h"

#include <algorithm>
#include <cstring>

#include "emit.h"
#include "limpet/wire/checksum.h"

namespace limpet::wire {
namespace {

constexpr size_t kMaxOptions = 40;

size_t sack_size(unsigned blocks) {
  return blocks == 0 ? 0 : 4 + size_t{8} * blocks;  // two NOPs in front, as everybody writes it
}

// Of the blocks, how many fit behind `used` bytes of other options.
unsigned fitting_blocks(const Segment& s, size_t used) {
  unsigned n = std::min(s.sack.count, SackBlocks::kMax);
  while (n != 0 && used + sack_size(n) > kMaxOptions) --n;
  return n;
}

size_t options_before_sack(const Segment& s) {
  return (s.mss ? 4u : 0u) + (s.window_scale ? 4u : 0u) +
         (s.sack_permitted && !s.timestamps ? 4u : 0u) + (s.timestamps ? 12u : 0u);
}

uint8_t* put32(uint8_t* p, uint32_t value) {
  store(p, be32::from(value));
  return p + 4;
}

void write_options(uint8_t* p, const Segment& s) {
  using namespace tcp_option;
  if (s.mss) {
    p[0] = kMss;
    p[1] = 4;
    store(p + 2, be16::from(*s.mss));
    p += 4;
  }
  if (s.window_scale) {
    p[0] = kNop;
    p[1] = kWindowScale;
    p[2] = 3;
    p[3] = *s.window_scale;
    p += 4;
  }
  if (s.sack_permitted || s.timestamps) {  // the two fill each other's gap
    p[0] = s.sack_permitted ? kSackPermitted : kNop;
    p[1] = s.sack_permitted ? 2 : kNop;
    p[2] = s.timestamps ? kTimestamps : kNop;
    p[3] = s.timestamps ? 10 : kNop;
    p += 4;
  }
  if (s.timestamps) {
    p = put32(p, s.timestamps->value);
    p = put32(p, s.timestamps->echo);
  }
  const unsigned blocks = fitting_blocks(s, options_before_sack(s));
  if (blocks == 0) return;
  p[0] = kNop;
  p[1] = kNop;
  p[2] = kSack;
  p[3] = static_cast<uint8_t>(2 + 8 * blocks);
  p += 4;
  for (unsigned i = 0; i < blocks; ++i) {
    p = put32(p, s.sack.block[i].left);
    p = put32(p, s.sack.block[i].right);
  }
}

}  // namespace

SackBlocks sack_blocks(std::span<const uint8_t> bytes, const Frame& f) {
  SackBlocks r;
  TcpOptionReader reader(bytes, f);
  while (const auto option = reader.next()) {
    const size_t size = option->data.size();
    if (option->kind != tcp_option::kSack || size % 8 != 0 || size > 8 * SackBlocks::kMax) continue;
    r.count = static_cast<unsigned>(size / 8);
    for (unsigned i = 0; i < r.count; ++i) {
      const uint8_t* p = option->data.data() + size_t{8} * i;
      r.block[i] = {load<be32>(p).host(), load<be32>(p + 4).host()};
    }
    return r;
  }
  return r;
}

size_t tcp_header_size(const Segment& s) {
  const size_t used = options_before_sack(s);
  return tcp_header::kSize + used + sack_size(fitting_blocks(s, used));
}

SegmentRoom begin_segment(std::span<uint8_t> out, const Link& link, const Segment& s,
                          size_t payload) {
  const size_t header = tcp_header_size(s);
  SegmentRoom room;
  room.l4 = eth::kSize + ip_header_size(s.source.is_v4());
  room.payload = room.l4 + header;
  if (out.size() < room.payload + payload) return {};
  room.end = room.payload + payload;
  emit_ip(out.data(), link,
          {.source = s.source,
           .destination = s.destination,
           .protocol = ip_protocol::kTcp,
           .ttl = s.ttl,
           .traffic_class = s.traffic_class,
           .dont_fragment = !s.may_fragment},
          header + payload);
  uint8_t* p = out.data() + room.l4;
  std::memset(p, 0, tcp_header::kSize);
  store(p + tcp_header::kSource, s.source_port);
  store(p + tcp_header::kDestination, s.destination_port);
  store(p + tcp_header::kSequence, be32::from(s.seq));
  if ((s.flags & tcp_flag::ack) != 0) store(p + tcp_header::kAcknowledgment, be32::from(s.ack));
  p[tcp_header::kDataOffset] = static_cast<uint8_t>(header / 4 << 4);
  p[tcp_header::kFlags] = s.flags;
  store(p + tcp_header::kWindow, be16::from(s.window));
  if ((s.flags & tcp_flag::urg) != 0) store(p + tcp_header::kUrgent, be16::from(s.urgent));
  write_options(p + tcp_header::kSize, s);
  return room;
}

void finish_segment(std::span<uint8_t> out, const Segment& s, const SegmentRoom& room) {
  uint8_t* p = out.data() + room.l4;
  const size_t length = room.end - room.l4;
  store(p + tcp_header::kChecksum, checksum(pseudo_sum(s.source, s.destination, ip_protocol::kTcp,
                                                       static_cast<uint32_t>(length)) +
                                            sum_of(p, length)));
}

size_t build_segment(std::span<uint8_t> out, const Link& link, const Segment& s) {
  const SegmentRoom room = begin_segment(out, link, s, 0);
  if (room.end != 0) finish_segment(out, s, room);
  return room.end;
}

}  // namespace limpet::wire
