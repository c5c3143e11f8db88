// Asking and gathering.
#include "queries.h"

#include <algorithm>
#include <utility>

namespace limpet::console {

bool Queries::ask(const Question& question, Instant now, Done done) {
  if (open_.size() >= kMaxOpen) return false;
  Open& open = open_.emplace_back();
  open.deadline = now + kDeadline;
  open.done = std::move(done);
  for (unsigned w = 0; w < workers_; ++w) {
    auto query = std::make_unique<dataplane::Query>();
    query->kind = question.kind;
    query->service = question.service;
    if (question.kind == dataplane::QueryKind::flows) {
      query->flows.resize(question.limit);
      query->edits.resize(question.limit);
    } else if (question.kind == dataplane::QueryKind::top) {
      query->top.resize(size_t{question.limit} * flow::kPools);
    } else {
      query->neighbors.resize(question.limit);
    }
    open.by_worker.push_back(std::move(query));
  }
  for (unsigned w = 0; w < workers_; ++w) send_(w, open.by_worker[w].get());
  return true;
}

void Queries::turn(Instant now) {
  for (auto at = open_.begin(); at != open_.end();) {
    const bool complete =
        std::all_of(at->by_worker.begin(), at->by_worker.end(),
                    [](const auto& query) { return query->done.load(std::memory_order_acquire); });
    if (!complete && now < at->deadline) {
      ++at;
      continue;
    }
    std::vector<std::unique_ptr<dataplane::Query>> answers;
    if (complete) answers = std::move(at->by_worker);
    if (const Done done = std::exchange(at->done, nullptr)) done(std::move(answers));
    at = complete ? open_.erase(at) : std::next(at);
  }
}

std::optional<Duration> Queries::wait() const {
  std::optional<Duration> wait;
  for (const Open& open : open_) {
    const Duration w =
        open.done ? Duration(std::chrono::milliseconds(1)) : Duration(std::chrono::seconds(1));
    wait = wait ? std::min(*wait, w) : w;
  }
  return wait;
}

}  // namespace limpet::console
