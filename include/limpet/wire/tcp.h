// TCP segments: accessors for a parsed frame, options, and resets (RFC 9293).
//
// The accessors take what parse_frame() found with kind tcp and cannot fail. Numbers are in host
// order; the wrapping comparison of sequence numbers is module tcp's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/wire/ethernet.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

inline uint32_t tcp_sequence(std::span<const uint8_t> bytes, const Frame& f) {
  return load<be32>(bytes.data() + f.l4 + tcp_header::kSequence).host();
}
// Meaningful only when tcp_flag::ack is set.
inline uint32_t tcp_acknowledgment(std::span<const uint8_t> bytes, const Frame& f) {
  return load<be32>(bytes.data() + f.l4 + tcp_header::kAcknowledgment).host();
}
// As in the header: not yet shifted by the window scale.
inline uint16_t tcp_window(std::span<const uint8_t> bytes, const Frame& f) {
  return load<be16>(bytes.data() + f.l4 + tcp_header::kWindow).host();
}
inline uint16_t tcp_data_length(const Frame& f) {
  return static_cast<uint16_t>(f.end - f.payload);
}
// SEG.LEN of RFC 9293, 3.4: data plus one each for SYN and FIN.
inline uint32_t tcp_segment_length(const Frame& f) {
  return uint32_t{tcp_data_length(f)} + ((f.tcp_flags & tcp_flag::syn) ? 1u : 0u) +
         ((f.tcp_flags & tcp_flag::fin) ? 1u : 0u);
}
inline std::span<const uint8_t> tcp_data(std::span<const uint8_t> bytes, const Frame& f) {
  return bytes.subspan(f.payload, tcp_data_length(f));
}

namespace tcp_option {
constexpr uint8_t kEnd = 0, kNop = 1, kMss = 2, kWindowScale = 3, kSackPermitted = 4, kSack = 5;
constexpr uint8_t kTimestamps = 8;
constexpr uint8_t kMd5 = 19, kAuthentication = 29;  // RFC 2385, RFC 5925
}  // namespace tcp_option

struct TcpOption {
  uint8_t kind = 0;
  std::span<const uint8_t> data;  // behind kind and length; empty for a NOP
};

// Walks options one by one. Ends at the end-of-list option, at the end of the bytes, or at the
// first option whose length is impossible (malformed() is true then): whatever stands behind that
// has no meaning. At most 40 steps, as the header has 40 bytes for options.
class TcpOptionReader {
 public:
  explicit TcpOptionReader(std::span<const uint8_t> options) : rest_(options) {}
  TcpOptionReader(std::span<const uint8_t> bytes, const Frame& f)
      : rest_(bytes.subspan(f.l4 + tcp_header::kSize,
                            static_cast<size_t>(f.payload - f.l4) - tcp_header::kSize)) {}

  std::optional<TcpOption> next();
  bool malformed() const { return malformed_; }

 private:
  std::span<const uint8_t> rest_;
  bool malformed_ = false;
};

// The options that a handshake negotiates, and timestamps of any segment. An option of the wrong
// length counts as absent; of a repeated one the first counts.
struct TcpOptions {
  std::optional<uint16_t> mss;
  std::optional<uint8_t> window_scale;  // at most 14 (RFC 7323, 2.3: more is read as 14)
  bool sack_permitted = false;
  struct Timestamps {
    uint32_t value = 0;
    uint32_t echo = 0;
  };
  std::optional<Timestamps> timestamps;
  bool malformed = false;
  // A host discards the segment for its options, or one host does and another one does not: a
  // length that is impossible and a signature that nobody has asked for (Linux since 6.7, both
  // measured on 6.18; signatures always), and timestamps twice, of which Linux believes the last.
  bool discarded = false;
};
TcpOptions tcp_options(std::span<const uint8_t> bytes, const Frame& f);

// A reset of which the caller knows every number. Without `acknowledgment` the ACK flag stays
// clear.
struct Reset {
  IpAddress source;
  IpAddress destination;  // of the same family
  be16 source_port{};
  be16 destination_port{};
  uint32_t sequence = 0;
  std::optional<uint32_t> acknowledgment;
  uint8_t ttl = 64;
  uint8_t traffic_class = 0;
};
constexpr size_t kMaxResetFrame = eth::kSize + ip6::kSize + tcp_header::kSize;

// Writes a whole frame and returns its length; 0 when `out` is too short.
size_t build_reset(std::span<uint8_t> out, const Link& link, const Reset& reset);

// The numbers of the reset that answers `segment` when no connection exists (RFC 9293, 3.10.7.1),
// with source and destination swapped. Nothing for a segment that must not be answered: a reset, or
// one with a multicast or broadcast address.
std::optional<Reset> reset_for(std::span<const uint8_t> bytes, const Frame& segment);

}  // namespace limpet::wire
