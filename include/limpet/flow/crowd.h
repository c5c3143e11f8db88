// Which of some flows gives its place when places become short: the source that has most
// connections standing still gives the one that has stood longest. Pure: a sample tells who has
// many as well as counting everybody would, and costs neither memory nor a write when flows come
// and go.
//
// Sources are weighed as by flow/shares.h: a /32 of IPv4; of IPv6 the largest of the /64, a quarter
// of the /56 and a sixteenth of the /48.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "limpet/base/address.h"
#include "limpet/base/time.h"
#include "limpet/flow/record.h"

namespace limpet::flow {

class Crowd {
 public:
  static constexpr size_t kMost = 32;

  enum class Stage : uint8_t {
    ended,    // both sides have closed, or were reset
    begun,    // half-open, or one datagram: nobody is known to be there
    standing  // a connection, or datagrams both ways
  };
  struct One {
    FlowId id = kNoFlow;
    IpAddress client;
    Tick quiet = 0;  // since it was last heard of
    Stage stage = Stage::standing;
  };

  // A flow that is there already counts once; more than kMost are not taken.
  void add(const One& one);
  size_t size() const { return size_; }

  // Nullptr when nobody has to give yet: there is nobody, or ended ones are left to go, or more
  // than half are half-open: a flood of those ends no connection. When all is taken (`full`) those
  // give then, the oldest first.
  const One* who(bool full) const;

 private:
  uint32_t weight(const One& one) const;

  std::array<One, kMost> all_;
  size_t size_ = 0;
};

}  // namespace limpet::flow
