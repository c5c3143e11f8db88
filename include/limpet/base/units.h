// Text of the configuration -> numbers with units. Unit is required except for zero; no sign, no
// fraction. Each parser says in its error what would be right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "limpet/base/result.h"
#include "limpet/base/time.h"

namespace limpet {

Result<Duration> parse_duration(std::string_view text);  // "500us" "20ms" "1s" "5m" "8h" "7d" "0"
Result<uint64_t> parse_size(
    std::string_view text);               // bytes: "1500" "16k" "4M" "1G" (powers of 1024)
std::string format_duration(Duration d);  // largest unit that divides: "90s", "500ms"

}  // namespace limpet
