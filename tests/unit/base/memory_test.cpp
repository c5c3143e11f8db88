#include "limpet/base/memory.h"

#include <gtest/gtest.h>

#include <memory>

namespace limpet {
namespace {

TEST(Memory, is_what_the_kernel_says) {
  const Memory m = memory_now();
  EXPECT_GT(m.available, 1u << 20);
  EXPECT_GT(m.resident, 1u << 16);
  EXPECT_LT(m.resident, uint64_t{1} << 40);
}

TEST(Memory, resident_grows_as_it_is_touched) {
  constexpr size_t kBytes = size_t{64} << 20;
  // Before: an allocator that fills what it gives (MALLOC_PERTURB_) touches it.
  const uint64_t before = memory_now().resident;
  const std::unique_ptr<char[]> memory(new char[kBytes]);
  for (size_t i = 0; i < kBytes; i += 4096) static_cast<volatile char*>(memory.get())[i] = 1;
  EXPECT_GE(memory_now().resident, before + kBytes / 2);
}

}  // namespace
}  // namespace limpet
