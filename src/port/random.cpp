#include "random.h"

#include <fmt/core.h>
#include <sys/random.h>

#include <cerrno>
#include <cstring>

namespace limpet::port {

Status fill_random(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t got = getrandom(bytes.data(), bytes.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Error{fmt::format("the kernel gives no randomness: {}", strerror(errno))};
    bytes = bytes.subspan(static_cast<size_t>(got));
  }
  return Ok{};
}

}  // namespace limpet::port
