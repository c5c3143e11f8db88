// Splice rewriting in place. Options may stand at odd offsets, where RFC 1624 would need the words
// around the field: so the options are compared as whole words, before and after.
#include "limpet/wire/splice.h"

#include <cassert>

#include "rewrite.h"

namespace limpet::wire {
namespace {

uint32_t read32(const uint8_t* p) {
  return load<be32>(p).host();
}
void write32(uint8_t* p, uint32_t v) {
  store(p, be32::from(v));
}

// Translates timestamps and SACK in the options [p, p + size).
void translate_options(uint8_t* p, size_t size, bool ack, const SpliceNumbers& n) {
  size_t i = 0;
  while (i < size) {
    const uint8_t kind = p[i];
    if (kind == tcp_option::kEnd) return;
    if (kind == tcp_option::kNop) {
      ++i;
      continue;
    }
    if (i + 1 >= size || p[i + 1] < 2 || i + p[i + 1] > size) return;
    const size_t length = p[i + 1];
    uint8_t* data = p + i + 2;
    if (kind == tcp_option::kTimestamps && length == 10) {
      write32(data, read32(data) + n.tsval_shift);
      if (ack) write32(data + 4, read32(data + 4) + n.tsecr_shift);
    } else if (kind == tcp_option::kSack && length % 8 == 2 && length > 2) {
      const size_t had = (length - 2) / 8;
      const size_t has = n.sack.count < had ? n.sack.count : had;
      for (size_t b = 0; b < has; ++b) {
        write32(data + 8 * b, n.sack.block[b].left);
        write32(data + 8 * b + 4, n.sack.block[b].right);
      }
      if (has == 0) {
        for (size_t b = 0; b < length; ++b) p[i + b] = tcp_option::kNop;
      } else {
        p[i + 1] = static_cast<uint8_t>(2 + 8 * has);
        for (size_t b = 2 + 8 * has; b < length; ++b) p[i + b] = tcp_option::kNop;
      }
    }
    i += length;
  }
}

}  // namespace

void rewrite_spliced(std::span<uint8_t> bytes, const Frame& frame, const IpAddress& source,
                     be16 source_port, const IpAddress& destination, be16 destination_port,
                     const SpliceNumbers& n) {
  assert(frame.kind == FrameKind::tcp);
  assert(source.is_v4() != frame.v6 && destination.is_v4() != frame.v6);
  assert(frame.ttl > 1 && frame.end <= bytes.size());
  uint8_t* l4 = bytes.data() + frame.l4;
  const bool ack = (frame.tcp_flags & tcp_flag::ack) != 0;
  ChecksumDelta delta = forward_ip(bytes.data() + frame.l3, frame.v6, source, destination);
  replace_ports(l4, source_port, destination_port, delta);
  replace_field(l4 + tcp_header::kSequence, be32::from(n.seq), delta);
  if (ack) replace_field(l4 + tcp_header::kAcknowledgment, be32::from(n.ack), delta);
  replace_field(l4 + tcp_header::kWindow, be16::from(n.window), delta);
  if ((frame.tcp_flags & tcp_flag::urg) != 0) {
    const auto word = load<be16>(l4 + tcp_header::kDataOffset).host();
    replace_field(l4 + tcp_header::kDataOffset,
                  be16::from(static_cast<uint16_t>(word & ~uint16_t{tcp_flag::urg})), delta);
    replace_field(l4 + tcp_header::kUrgent, be16::from(0), delta);
  }

  uint8_t* options = l4 + tcp_header::kSize;
  const auto size = static_cast<size_t>(frame.payload - frame.l4) - tcp_header::kSize;
  be32 before[10];
  assert(size <= sizeof before && size % 4 == 0);
  for (size_t i = 0; i < size / 4; ++i) before[i] = load<be32>(options + 4 * i);
  if (size != 0) {
    translate_options(options, size, ack, n);
    for (size_t i = 0; i < size / 4; ++i) delta.replace(before[i], load<be32>(options + 4 * i));
  }
  store(l4 + tcp_header::kChecksum, delta.apply(load<be16>(l4 + tcp_header::kChecksum)));
}

}  // namespace limpet::wire
