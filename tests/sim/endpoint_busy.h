// Private to the endpoint: while one of its calls runs, callbacks only leave things to do; the
// outermost call does them at its end.
#pragma once

#include "endpoint.h"

namespace limpet::sim {

class Endpoint::Busy {
 public:
  Busy(Endpoint& endpoint, Instant now) : endpoint_(endpoint), now_(now) { ++endpoint_.busy_; }
  ~Busy() {
    if (--endpoint_.busy_ == 0) endpoint_.flush(now_);
  }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  Endpoint& endpoint_;
  Instant now_;
};

}  // namespace limpet::sim
