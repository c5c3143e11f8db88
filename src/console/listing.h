// A long table of what workers answered, made in slices between the other turns of the event loop:
// a hundred thousand flows are seconds of text, and health checks must not wait that long.
// Owner: the control thread.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "limpet/console/view.h"
#include "limpet/dataplane/shared.h"

namespace limpet::console {

class Listing {
 public:
  static constexpr size_t kSlice = 256;  // rows of a turn: a millisecond or so

  struct Wanted {
    dataplane::QueryKind kind = dataplane::QueryKind::flows;
    uint32_t limit = 0;  // rows of all workers together, more than 0
    std::string port;    // of neighbors: only these; empty: all
  };
  // `answers` by worker.
  Listing(Wanted wanted, std::vector<std::unique_ptr<dataplane::Query>> answers);

  // True when it is complete. Slots may be other ones than at the turn before: rows of what has
  // ended meanwhile are left out.
  bool turn(const View& view);
  // The data of the reply, as `envelope()` would have it.
  std::string text(Duration uptime) const;

 private:
  Wanted wanted_;
  std::vector<std::unique_ptr<dataplane::Query>> answers_;
  unsigned worker_ = 0;
  size_t next_ = 0;  // of that worker's answer
  std::string rows_;
  uint32_t count_ = 0;
  bool more_ = false;
};

}  // namespace limpet::console
