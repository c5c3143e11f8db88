// The incremental half of framing: finds the end of a head that arrives in pieces, and refuses what
// is malformed as soon as its byte is there. What the header lines mean is looked at afterwards, in
// the complete head (fields.h).
#pragma once

#include "chars.h"

namespace limpet::http {

Fed advance(HeadProgress& p, Bytes bytes_so_far, Side side);

}  // namespace limpet::http
