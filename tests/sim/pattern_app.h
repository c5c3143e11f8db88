// An app that writes a seed's stream, at its own pace, and holds what arrives against another
// seed's: the first octet that differs is known at once.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string>

#include "app.h"
#include "endpoint.h"
#include "random.h"

namespace limpet::sim {

struct PatternOptions {
  enum class Close : uint8_t {
    when_written,   // FIN right behind the last octet
    when_received,  // once everything has come as well
    after_peer,     // once the peer has closed
  };

  uint64_t sends = 1, expects = 2;  // seeds of the streams
  // Instead of the stream of `expects`: what somebody on the way makes of it. awaits is its size.
  std::shared_ptr<const Bytes> expected;
  size_t total = 65536;   // to send
  size_t awaits = 65536;  // to receive
  size_t chunk = 0;       // octets of one write, 0: as much as there is room for
  size_t singly = 0;      // of the first octets each is a write
  Duration every{};       // between writes
  Duration start{};       // after the opening
  Close close = Close::when_written;
};

class PatternApp : public App {
 public:
  explicit PatternApp(PatternOptions options) : options_(options) {}

  void on_open(Endpoint& e, Instant now) override {
    open_ = true;
    if (options_.start.count() == 0 && options_.every.count() == 0) return go_on(e, now);
    timer_ = now + options_.start;
  }
  void on_room(Endpoint& e, Instant now) override {
    if (!timer_) go_on(e, now);
  }
  void on_timer(Endpoint& e, Instant now) override {
    timer_.reset();
    go_on(e, now);
  }
  void on_data(Endpoint& e, std::span<const uint8_t> data, Instant now) override;
  void on_peer_close(Endpoint& e, Instant now) override {
    peer_closed_ = true;
    close_if_due(e, now);
  }
  void on_end(Endpoint&, Instant) override {
    ended_ = true;
    timer_.reset();
  }
  std::optional<Instant> next_timer() const override { return timer_; }

  bool open() const { return open_; }
  size_t received() const { return received_; }
  size_t sent() const { return written_; }
  // Everything both ways, and the FIN behind it.
  bool complete() const {
    return written_ == options_.total && received_ == options_.awaits && peer_closed_ && !ended_;
  }
  // Empty if all octets were the expected ones so far.
  const std::string& difference() const { return difference_; }
  std::string describe() const;

 private:
  void go_on(Endpoint& e, Instant now);
  void close_if_due(Endpoint& e, Instant now);

  PatternOptions options_;
  size_t written_ = 0, received_ = 0;
  bool open_ = false, peer_closed_ = false, ended_ = false;
  std::optional<Instant> timer_;
  std::string difference_;
};

}  // namespace limpet::sim
