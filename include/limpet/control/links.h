// Notices that the link of a port has gone or come back. By asking once in a while: drivers tell of
// it by interrupts that need threads and support which not all of them have. What is back within
// kLook is not noticed. Owner: the control thread.
#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "limpet/base/time.h"

namespace limpet::control {

class Links {
 public:
  static constexpr Duration kLook = std::chrono::seconds(1);

  struct News {
    size_t port = 0;
    bool up = false;
  };
  using IsUp = std::function<bool(size_t port)>;

  // As links are now is no news. `is_up` may be null: nothing ever is then.
  Links(IsUp is_up, size_t ports);

  std::vector<News> turn(Instant now);

 private:
  IsUp is_up_;
  std::vector<bool> up_;  // by port
  Instant next_{};
};

}  // namespace limpet::control
