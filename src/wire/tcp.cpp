#include "limpet/wire/tcp.h"

#include <algorithm>
#include <cstring>

#include "emit.h"
#include "limpet/wire/checksum.h"

namespace limpet::wire {

std::optional<TcpOption> TcpOptionReader::next() {
  if (rest_.empty()) return std::nullopt;
  const uint8_t kind = rest_[0];
  if (kind == tcp_option::kEnd) {
    rest_ = {};
    return std::nullopt;
  }
  if (kind == tcp_option::kNop) {
    rest_ = rest_.subspan(1);
    return TcpOption{kind, {}};
  }
  if (rest_.size() < 2 || rest_[1] < 2 || rest_[1] > rest_.size()) {
    malformed_ = true;
    rest_ = {};
    return std::nullopt;
  }
  const TcpOption option{kind, rest_.subspan(2, size_t{rest_[1]} - 2)};
  rest_ = rest_.subspan(rest_[1]);
  return option;
}

TcpOptions tcp_options(std::span<const uint8_t> bytes, const Frame& f) {
  constexpr uint8_t kMaxScale = 14;
  TcpOptions r;
  TcpOptionReader reader(bytes, f);
  while (const auto option = reader.next()) {
    const uint8_t* p = option->data.data();
    const size_t size = option->data.size();
    switch (option->kind) {
      case tcp_option::kMss:
        if (size == 2 && !r.mss) r.mss = load<be16>(p).host();
        break;
      case tcp_option::kWindowScale:
        if (size == 1 && !r.window_scale) r.window_scale = std::min(*p, kMaxScale);
        break;
      case tcp_option::kSackPermitted:
        if (size == 0) r.sack_permitted = true;
        break;
      case tcp_option::kTimestamps:
        if (size != 8) break;
        if (r.timestamps)
          r.discarded = true;
        else
          r.timestamps = {load<be32>(p).host(), load<be32>(p + 4).host()};
        break;
      case tcp_option::kMd5:
      case tcp_option::kAuthentication:
        r.discarded = true;
        break;
      default:
        break;
    }
  }
  r.malformed = reader.malformed();
  r.discarded = r.discarded || r.malformed;
  return r;
}

size_t build_reset(std::span<uint8_t> out, const Link& link, const Reset& reset) {
  const size_t size = eth::kSize + ip_header_size(reset.source.is_v4()) + tcp_header::kSize;
  if (out.size() < size) return 0;
  const size_t l4 = emit_ip(out.data(), link,
                            {.source = reset.source,
                             .destination = reset.destination,
                             .protocol = ip_protocol::kTcp,
                             .ttl = reset.ttl,
                             .traffic_class = reset.traffic_class},
                            tcp_header::kSize);
  uint8_t* p = out.data() + l4;
  std::memset(p, 0, tcp_header::kSize);
  store(p + tcp_header::kSource, reset.source_port);
  store(p + tcp_header::kDestination, reset.destination_port);
  store(p + tcp_header::kSequence, be32::from(reset.sequence));
  store(p + tcp_header::kAcknowledgment, be32::from(reset.acknowledgment.value_or(0)));
  p[tcp_header::kDataOffset] = tcp_header::kSize / 4 << 4;
  p[tcp_header::kFlags] = reset.acknowledgment ? tcp_flag::rst | tcp_flag::ack : tcp_flag::rst;
  store(p + tcp_header::kChecksum,
        checksum(pseudo_sum(reset.source, reset.destination, ip_protocol::kTcp, tcp_header::kSize) +
                 sum_of(p, tcp_header::kSize)));
  return size;
}

std::optional<Reset> reset_for(std::span<const uint8_t> bytes, const Frame& segment) {
  // A reset is never answered, nor is anything that was sent to many (RFC 9293, 3.9.2.3, MUST-57;
  // RFC 1122, 4.2.3.10). The parser refuses such sources.
  if ((segment.tcp_flags & tcp_flag::rst) || segment.destination.is_multicast() ||
      segment.destination.is_broadcast() || segment.destination_mac.is_group())
    return std::nullopt;
  Reset r{.source = segment.destination,
          .destination = segment.source,
          .source_port = segment.destination_port,
          .destination_port = segment.source_port};
  if (segment.tcp_flags & tcp_flag::ack)
    r.sequence = tcp_acknowledgment(bytes, segment);
  else
    r.acknowledgment = tcp_sequence(bytes, segment) + tcp_segment_length(segment);
  return r;
}

}  // namespace limpet::wire
