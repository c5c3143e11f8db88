// The event loop's one blocking call: descriptors with a handler each, over epoll. A handler may
// watch and forget any descriptor, its own included.
// Owner: the control thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>

#include "limpet/base/result.h"
#include "limpet/base/time.h"

namespace limpet::control {

class Loop {
 public:
  using Handler = std::function<void(uint32_t events)>;  // EPOLLIN, EPOLLOUT, EPOLLHUP, EPOLLERR

  static Result<std::unique_ptr<Loop>> create();
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
  explicit Loop(int epoll) : epoll_(epoll) {}
  int epoll_;
  uint32_t serial_ = 0;
  Duration slept_{};
  std::unordered_map<int, Watched> watched_;
};

}  // namespace limpet::control
