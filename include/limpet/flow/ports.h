// Source ports of one worker towards one backend endpoint from one source address: handed out
// oldest first, so that a port rests as long as possible before the backend sees it again in
// TIME_WAIT. Only ports whose return packets hash to this worker are in the set (flow/toeplitz.h).
// Ports that were never used go first, in ascending order from a random start, found as they are
// needed; then the one that was freed longest ago.
//
// Cost: 6 bytes a port of this worker, touched only as ports come back, and 9 kB fixed.
// Construction walks the range once to count (about 0.1 ms for all ports).
// Owner: one worker after construction; memory is taken at construction.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "limpet/base/time.h"
#include "limpet/flow/toeplitz.h"

namespace limpet::flow {

class SourcePorts {
 public:
  struct Setup {
    IpAddress backend;  // source of the return packet
    be16 backend_port{};
    IpAddress source;       // destination of the return packet
    uint16_t first = 1024;  // range of ports, first <= last
    uint16_t last = 65535;
    // Used at construction only. Null: every port is this worker's, whoever else has it.
    const Toeplitz* toeplitz = nullptr;
    Reta reta;  // of the port by which the answer arrives; size at most 65536
    uint32_t worker = 0;
    uint64_t random = 0;  // where the never-used ports start, so that a restart does not repeat
  };
  struct Grant {
    be16 port;
    bool early = false;  // was in use less than 60 s ago
  };

  static constexpr Duration kRest = std::chrono::seconds(60);  // TIME_WAIT of the usual backend

  explicit SourcePorts(const Setup& setup);

  std::optional<Grant> take(Tick now);  // nullopt: all in use
  void give(be16 port, Tick now);  // back after use; each taken port exactly once, in order of time

  // take() has a port that was not in use for kRest.
  bool rested(Tick now) const {
    return fresh_left_ != 0 || (freed_ != 0 && now - freed_at_[head_] >= to_ticks(kRest));
  }
  bool in_range(be16 port) const { return first_ <= port.host() && port.host() <= last_; }

  // What a range of so many ports comes to when they are shared out over that many workers.
  static uint64_t bytes(uint32_t ports, unsigned workers) {
    return uint64_t{workers} * (sizeof(SourcePorts) + 65536 / 8) +
           uint64_t{ports} * (sizeof(uint16_t) + sizeof(Tick));
  }

  // One that is in use, near a random place of the range; nullopt when none is near.
  std::optional<be16> some(uint64_t random) const;

  uint32_t capacity() const { return capacity_; }  // ports that belong to this worker
  // Any thread may ask; the others are the worker's own.
  uint32_t in_use() const { return in_use_.load(std::memory_order_relaxed); }

 private:
  bool mine(uint32_t port) const;
  bool taken(uint32_t port) const { return (taken_[port / 64] >> (port % 64) & 1) != 0; }
  void set_taken(uint32_t port, bool taken);

  uint32_t first_;
  uint32_t last_;
  Reta reta_;
  uint32_t worker_;
  bool every_ = false;  // one worker, or no hash to go by
  uint32_t fixed_ = 0;  // hash of the return tuple with destination port 0
  // Low bits of a port's Toeplitz term, by the port's high and low byte.
  std::array<std::array<uint16_t, 256>, 2> terms_{};

  uint32_t capacity_ = 0;
  std::atomic<uint32_t> in_use_ = 0;  // written by the worker only
  uint32_t fresh_left_ = 0;           // ports of this worker never handed out
  uint32_t fresh_next_ = 0;           // where to look for the next

  // Freed ports, oldest at head_, in a ring of capacity_.
  std::unique_ptr<uint16_t[]> freed_port_;
  std::unique_ptr<Tick[]> freed_at_;
  uint32_t head_ = 0;
  uint32_t freed_ = 0;
  std::vector<uint64_t> taken_;  // by port number, 65536 bits
};

}  // namespace limpet::flow
