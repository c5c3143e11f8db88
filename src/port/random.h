// Secrets and seeds: the one place where limpet asks the kernel for randomness on behalf of its
// workers.
#pragma once

#include <cstdint>
#include <span>

#include "limpet/base/result.h"

namespace limpet::port {

Status fill_random(std::span<uint8_t> bytes);

}  // namespace limpet::port
