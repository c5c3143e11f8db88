// An array in pages of its own, zero until written and taken from the system as they are touched:
// what is sized for the most there can be costs what is used.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <new>
#include <type_traits>

namespace limpet::dataplane {

template <class T>
class Mapped {
  static_assert(std::is_trivially_destructible_v<T>);

 public:
  explicit Mapped(size_t count) : bytes_(count * sizeof(T)) {
    // Not reserved: a thousand bytes for each flow that there might be must not be refused.
    void* memory = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<T*>(memory);
  }
  ~Mapped() { munmap(data_, bytes_); }
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;

  T* data() { return data_; }
  const T* data() const { return data_; }
  T& operator[](size_t i) { return data_[i]; }
  const T& operator[](size_t i) const { return data_[i]; }

 private:
  size_t bytes_;
  T* data_ = nullptr;
};

}  // namespace limpet::dataplane
