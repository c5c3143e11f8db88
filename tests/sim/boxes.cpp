#include "boxes.h"

#include "limpet/base/endian.h"

namespace limpet::sim {

void ShiftingBox::translate(Segment& s, bool from_client) const {
  const uint32_t own = from_client ? shifts_.client_seq : shifts_.server_seq;
  const uint32_t other = from_client ? shifts_.server_seq : shifts_.client_seq;
  s.seq += own;
  if (s.has(kAck)) s.ack -= other;
  if (s.options.timestamps) {
    Timestamps& t = *s.options.timestamps;
    t.value += from_client ? shifts_.client_time : shifts_.server_time;
    if (s.has(kAck)) t.echo -= from_client ? shifts_.server_time : shifts_.client_time;
  }
  if (!translate_sack) return;
  for (uint8_t i = 0; i < s.options.sacks; ++i) {
    s.options.sack[i].left -= other;
    s.options.sack[i].right -= other;
  }
}

std::vector<Frame> ShiftingBox::on_frame(uint16_t port, Bytes bytes, Instant now) {
  const bool from_client = port == 0;
  std::vector<Frame> out;
  Packet packet = parse(bytes);
  if (packet.kind == Packet::Kind::tcp) {
    Segment& s = packet.tcp;
    translate(s, from_client);
    Passing passing{s, from_client, ++passed_[port & 1], now};
    if (fault_ && fault_(passing) == Verdict::drop) return out;
    out.push_back({static_cast<uint16_t>(port ^ 1), emit(s)});
    return out;
  }
  if (packet.kind == Packet::Kind::too_big) {
    // It quotes what the other end sent, with the number that we gave it.
    const size_t ip = packet.tcp.from.is_v4() ? 20 : 40;
    const size_t at = kEthernet + ip + 8 + ip + 4;
    const uint32_t added = from_client ? shifts_.server_seq : shifts_.client_seq;
    if (translate_quoted) store(&bytes[at], be32::from(packet.too_big.seq - added));
    fix_checksums(bytes);
  }
  out.push_back({static_cast<uint16_t>(port ^ 1), std::move(bytes)});
  return out;
}

}  // namespace limpet::sim
