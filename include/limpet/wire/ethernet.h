// The Ethernet header, as far as it is more than two addresses: every builder of this module takes
// a Link and writes whole frames, without the padding to 60 bytes, which is the port's.
#pragma once

#include <cstdint>
#include <span>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/wire/frame.h"
#include "limpet/wire/layout.h"

namespace limpet::wire {

struct Link {
  MacAddress source;
  MacAddress destination;
};

// The way back to whoever sent `frame`. Never answer to a group address: check
// frame.destination_mac where the source of the answer must be one's own.
inline Link reply_link(const Frame& frame) {
  return {frame.destination_mac, frame.source_mac};
}

}  // namespace limpet::wire
