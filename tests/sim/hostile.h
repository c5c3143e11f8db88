// A client that does not mean well, in front of a box: what an honest endpoint sends is said again
// with other octets, said so that one kernel takes it and another discards it, never acknowledged.
// And a router behind the box, and a backend's kernel, that discard what real ones do.
//
// It lies about octets of heads only (and lines of chunks), and only where it is known which copy
// was judged: so both streams must arrive as if it had said nothing.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "middlebox.h"
#include "random.h"
#include "scenario.h"

namespace limpet::sim {

enum class Hostile : uint8_t {
  none,
  again,         // other octets with old numbers: as many, more, fewer, straddling
  expires,       // a TTL that ends behind the box, then other octets
  old_clock,     // a TSval that every kernel discards, then other octets
  odd_option,    // other octets first, with a signature (RFC 2385) that nobody agreed to
  never_acks,    // nothing that it gets
  single_octets  // segments of one octet; its app does that
};
const char* name(Hostile kind);
Hostile draw_hostile(uint64_t seed);  // `none` for most
// What of a scenario is another one with such a client.
void prepare(Scenario& scenario, Hostile kind);

struct HostileCounts {
  uint64_t lies = 0, longer = 0, shorter = 0, straddling = 0;
  uint64_t expired = 0;      // segments that the router behind the box discarded
  uint64_t old_clocks = 0;   // segments that were sent
  uint64_t odd_options = 0;  //
  uint64_t acks_kept = 0;    // that the box was not told
  uint64_t single_octets = 0;
  HostileCounts& operator+=(const HostileCounts& o);
};

class HostileBox : public Middlebox {
 public:
  struct Target {
    std::function<bool(uint32_t)> lies_about;  // whether an octet of the client's stream may be one
    // Octets of the client's stream before this one are judged, when so many octets of the stream
    // as edited have left to the backend, and the client was told that so many have arrived.
    std::function<uint32_t(uint32_t left, uint32_t acknowledged)> judged;
  };
  HostileBox(Middlebox& inner, Hostile kind, uint64_t seed, Target target)
      : inner_(inner), kind_(kind), random_(seed ^ 0x686f7374), target_(std::move(target)) {}

  std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant now) override;
  std::optional<Instant> next_timer() const override { return inner_.next_timer(); }
  std::vector<Frame> on_timer(Instant now) override { return behind(inner_.on_timer(now)); }
  bool judges() const override { return inner_.judges(); }

  const HostileCounts& counts() const { return counts_; }

 private:
  std::vector<Frame> behind(std::vector<Frame> frames);
  std::vector<Frame> pass(Bytes bytes, Instant now);
  void note(const Segment& s);
  Bytes lie(const Segment& s, bool anywhere);

  Middlebox& inner_;
  const Hostile kind_;
  Random random_;
  const Target target_;
  HostileCounts counts_;
  bool open_ = false;
  uint32_t first_ = 0;       // number of the client's first octet
  std::string said_;         // its stream
  std::vector<bool> known_;  // of said_
  size_t largest_ = 0;       // segment
  uint32_t first_ack_ = 0;   // of what it never acknowledges
  uint32_t left_ = 0, acknowledged_ = 0;
  std::set<uint32_t> old_;  // TSvals that it made up
};

}  // namespace limpet::sim
