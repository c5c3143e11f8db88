// The key of receive-side scaling: random, so that clients cannot aim at one worker, but one with
// which source ports are shared out well.
#pragma once

#include "limpet/base/result.h"
#include "limpet/flow/toeplitz.h"

namespace limpet::port {

Result<flow::RssKey> random_rss_key();

}  // namespace limpet::port
