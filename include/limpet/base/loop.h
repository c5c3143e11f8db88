// An event loop's one blocking call: descriptors with a handler each, over epoll. A handler may
// watch and forget any descriptor, its own included.
// Owner: one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

#include "limpet/base/result.h"
#include "limpet/base/time.h"

namespace limpet {

class Loop {
 public:
  using Handler = std::function<void(uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR

  using Clock = std::function<Instant()>;  // monotonic

  static Result<std::unique_ptr<Loop>> create(Clock clock);
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  void watch(int fd, uint32_t events, Handler handler);
  void change(int fd, uint32_t events);
  void forget(int fd);  // before it is closed

  // Sleeps until something happens, at most `at_most`; calls at most kEvents handlers.
  void wait(Duration at_most);
  // How long the last wait() slept, but no longer than it was to: the rest of the time since the
  // call before it the thread was busy, or was not given a processor.
  Duration slept() const { return slept_; }

 private:
  static constexpr int kEvents = 64;
  struct Watched {
    Handler handler;
    uint32_t serial = 0;  // a descriptor's number is used again: tells late events apart
  };
  Loop(int epoll, Clock clock) : epoll_(epoll), clock_(std::move(clock)) {}
  int epoll_;
  Clock clock_;
  uint32_t serial_ = 0;
  Duration slept_{};
  std::unordered_map<int, Watched> watched_;
};

}  // namespace limpet
