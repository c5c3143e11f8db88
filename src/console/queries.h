// Questions that only workers can answer (flows, neighbors): sent to every one of them, gathered
// between turns of the event loop, given up after a deadline. A worker writes into a query until
// its `done` reads true, so one that was given up is kept until then. Owner: the control thread;
// destroyed after the workers ended.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include "limpet/base/time.h"
#include "limpet/dataplane/shared.h"

namespace limpet::console {

class Queries {
 public:
  static constexpr Duration kDeadline = std::chrono::seconds(2);
  static constexpr size_t kMaxOpen = 16;  // of memory's sake: each holds rows for every worker

  using Send = std::function<void(unsigned worker, dataplane::Query*)>;
  // `answers` by worker; empty after the deadline.
  using Done = std::function<void(std::vector<std::unique_ptr<dataplane::Query>> answers)>;

  Queries(unsigned workers, Send send) : workers_(workers), send_(std::move(send)) {}

  struct Question {
    dataplane::QueryKind kind = dataplane::QueryKind::flows;
    uint16_t service = dataplane::kNoSlot;
    uint32_t limit = 0;  // rows of each worker
  };
  // False when too many are open. Otherwise `done` is called once, by a later turn().
  bool ask(const Question& question, Instant now, Done done);
  void turn(Instant now);
  std::optional<Duration> wait() const;

 private:
  struct Open {
    std::vector<std::unique_ptr<dataplane::Query>> by_worker;
    Instant deadline;
    Done done;  // null: given up
  };
  unsigned workers_;
  Send send_;
  std::list<Open> open_;
};

}  // namespace limpet::console
