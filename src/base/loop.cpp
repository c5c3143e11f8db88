// epoll with handlers.
#include "limpet/base/loop.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

namespace limpet {
namespace {

uint64_t tag(int fd, uint32_t serial) {
  return uint64_t{serial} << 32 | static_cast<uint32_t>(fd);
}

}  // namespace

Result<std::unique_ptr<Loop>> Loop::create(Clock clock) {
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return Error{std::string("no event loop: ") + strerror(errno)};
  return std::unique_ptr<Loop>(new Loop(epoll, std::move(clock)));
}

Loop::~Loop() {
  close(epoll_);
}

void Loop::watch(int fd, uint32_t events, Handler handler) {
  watched_[fd] = {std::move(handler), ++serial_};
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag(fd, serial_);
  epoll_ctl(epoll_, EPOLL_CTL_ADD, fd, &event);
}

void Loop::change(int fd, uint32_t events) {
  const auto at = watched_.find(fd);
  if (at == watched_.end()) return;
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag(fd, at->second.serial);
  epoll_ctl(epoll_, EPOLL_CTL_MOD, fd, &event);
}

void Loop::forget(int fd) {
  if (watched_.erase(fd) != 0) epoll_ctl(epoll_, EPOLL_CTL_DEL, fd, nullptr);
}

void Loop::wait(Duration at_most) {
  // Rounded up: a sleep that ends early would spin through the rest.
  const std::chrono::milliseconds limit(std::clamp<int64_t>(
      std::chrono::ceil<std::chrono::milliseconds>(at_most).count(), 0, 60'000));
  std::array<epoll_event, kEvents> events;
  const Instant before = clock_();
  const int n = epoll_wait(epoll_, events.data(), kEvents, static_cast<int>(limit.count()));
  slept_ = std::min<Duration>(clock_() - before, limit);
  for (int i = 0; i < n; ++i) {
    const epoll_event& event = events[static_cast<size_t>(i)];
    const auto at = watched_.find(static_cast<int>(event.data.u64 & 0xffffffff));
    if (at == watched_.end() || at->second.serial != event.data.u64 >> 32) continue;
    const Handler handler = at->second.handler;  // a copy: it may forget itself
    handler(event.events);
  }
}

}  // namespace limpet
