// Packet scripts for one endpoint: the peer is the test, numbers are small. We are at 1000 and send
// segments of 100 octets, the peer is at 5000; no options unless a test asks for them.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "endpoint.h"

namespace limpet::sim {

class Script : public App {
 public:
  using Lines = std::vector<std::string>;

  static EndpointOptions plain() {
    EndpointOptions o;
    o.local = IpAddress::v4(10, 0, 0, 1);
    o.remote = IpAddress::v4(10, 0, 0, 2);
    o.local_port = 1;
    o.remote_port = 2;
    o.isn = 1000;
    o.mss = 100;
    o.mtu = 140;
    o.scale.reset();
    o.sack = o.timestamps = false;
    o.receive_buffer = 400;
    o.check.in_order = true;
    return o;
  }
  explicit Script(const EndpointOptions& options) : endpoint(options, *this) {}

  // The peer's segment: its sequence number 5000 + seq, acknowledging 1000 + ack.
  struct Say {
    uint8_t flags = kAck;
    uint32_t seq = 1;
    uint32_t ack = 1;
    std::string data = "";
    uint16_t window = 1000;
    TcpOptions options = {};
  };
  Lines says(const Say& say) {
    const std::string& d = say.data;
    Segment s;
    s.flags = say.flags;
    s.seq = 5000 + say.seq;
    s.ack = (say.flags & kAck) != 0 ? endpoint.options().isn + say.ack : 0;
    s.window = say.window;
    s.options = say.options;
    s.option_bytes = say.options.bytes();
    s.data = {reinterpret_cast<const uint8_t*>(d.data()), d.size()};
    endpoint.on_segment(s, now);
    return sent();
  }
  // What the endpoint sends by itself until `d` has gone by.
  Lines pass(Duration d) {
    Lines lines;
    const Instant until = now + d;
    while (endpoint.next_timer() <= until) {
      now = std::max(now, endpoint.next_timer());
      endpoint.on_timer(now);
      for (const std::string& line : sent()) lines.push_back(line);
    }
    now = until;
    return lines;
  }
  Lines connects() {
    endpoint.connect(now);
    return sent();
  }
  Lines writes(size_t octets) { return writes(std::string(octets, 'x')); }
  Lines writes(const std::string& text) {
    endpoint.write({reinterpret_cast<const uint8_t*>(text.data()), text.size()}, now);
    return sent();
  }
  Lines closes() {
    endpoint.close(now);
    return sent();
  }
  Lines sent() {
    Lines lines;
    for (const Bytes& frame : endpoint.take()) {
      const Packet packet = parse(frame);
      EXPECT_EQ(packet.kind, Packet::Kind::tcp);
      lines.push_back(sim::describe(packet.tcp));
    }
    return lines;
  }
  // Open by the peer, with the options of its SYN.
  Script& accepts(const TcpOptions& options = {.mss = 100}, uint16_t window = 1000) {
    endpoint.listen();
    says({.flags = kSyn, .seq = 0, .window = window, .options = options});
    TcpOptions with;
    if (endpoint.timestamps_agreed()) with.timestamps = {{options.timestamps->value, stamp()}};
    says({.window = window, .options = with});
    EXPECT_EQ(endpoint.state(), State::established);
    return *this;
  }
  uint32_t stamp() const {  // of our clock, 1 ms
    return endpoint.options().timestamp_start + static_cast<uint32_t>(now.ns / 1000000);
  }
  TooBig too_big(uint32_t seq, uint32_t mtu) const {
    TooBig t;
    t.seq = endpoint.options().isn + seq;
    t.mtu = mtu;
    return t;
  }

  void on_data(Endpoint&, std::span<const uint8_t> data, Instant) override {
    received.append(data.begin(), data.end());
  }
  void on_peer_close(Endpoint&, Instant) override { received += "<FIN>"; }
  void on_end(Endpoint& e, Instant) override { received += std::string("<") + name(e.end()) + ">"; }

  Instant now{};
  std::string received;
  Endpoint endpoint;
};

// n octets of the peer's.
inline std::string octets(size_t n, char first = 'a') {
  std::string text(n, first);
  for (size_t i = 0; i < n; ++i) text[i] = static_cast<char>(first + static_cast<int>(i % 26));
  return text;
}

inline TcpOptions sacks(std::initializer_list<std::pair<uint32_t, uint32_t>> relative) {
  TcpOptions o;
  for (const auto& [left, right] : relative) o.sack[o.sacks++] = {1000 + left, 1000 + right};
  return o;
}

inline TcpOptions stamps(uint32_t value, uint32_t echo) {
  TcpOptions o;
  o.timestamps = {{value, echo}};
  return o;
}

}  // namespace limpet::sim
