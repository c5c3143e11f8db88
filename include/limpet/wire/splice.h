// Full NAT of a TCP segment whose numbers belong to another sequence space on the other side
// (delayed binding): addresses and ports as nat.h, and sequence number, acknowledgment, window,
// timestamps and SACK edges, all in place with one incremental checksum (RFC 1624).
#pragma once

#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/segment.h"

namespace limpet::wire {

struct SpliceNumbers {
  uint32_t seq = 0;
  uint32_t ack = 0;  // written when the segment has the ACK flag
  uint16_t window = 0;
  uint32_t tsval_shift = 0;  // added modulo 2^32 to the timestamp option's fields, where there is
  uint32_t tsecr_shift = 0;  // one; the echo only when the ACK flag is set
  SackBlocks sack;  // replaces the blocks of a SACK option, at most as many as it has; what
                    // is over becomes NOPs
};

// As rewrite(); `frame` describes the segment as received. Urgent data becomes data like all other
// (RFC 6093, 3.4): a pointer into a stream that is edited would have to survive every cut of it,
// HTTP has no use for it, and a receiver would take its octet out of the stream.
void rewrite_spliced(std::span<uint8_t> bytes, const Frame& frame, const IpAddress& source,
                     be16 source_port, const IpAddress& destination, be16 destination_port,
                     const SpliceNumbers& numbers);

}  // namespace limpet::wire
