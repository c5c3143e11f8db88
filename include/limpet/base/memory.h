// What the kernel says of memory. Read by whoever is about to promise much of it.
#pragma once

#include <cstdint>

namespace limpet {

struct Memory {
  uint64_t available = 0;  // bytes that can be had without swapping; 0: the kernel does not say
  uint64_t resident =
      0;  // bytes of this process's own that it has touched (hugepages not among them)
};

Memory memory_now();

}  // namespace limpet
