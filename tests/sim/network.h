// A network in one thread: hosts, the links that join each of them to a port of the box, and a
// queue of events in the order of their time. What a link does to a frame (loss, duplication,
// delay, reordering, damage, an MTU) is drawn from a seed; scenarios add named rules.
//
//   host --up--> box port --> box --> box port --down--> host
#pragma once

#include <cstdio>
#include <functional>
#include <map>
#include <queue>
#include <string>
#include <vector>

#include "host.h"
#include "limpet/base/time.h"
#include "middlebox.h"
#include "random.h"
#include "trace.h"

namespace limpet::sim {

struct LinkOptions {
  Duration delay = 1ms;
  Duration jitter{};          // 0 to this, added for each frame; order is kept
  unsigned loss = 0;          // per mille, as all of these
  unsigned duplicate = 0;     // the copy comes up to `reorder_by` later
  unsigned reorder = 0;       // these come up to `reorder_by` later than their turn
  Duration reorder_by = 5ms;  //
  unsigned corrupt = 0;       // one bit behind the Ethernet header
  // IP packets that are longer: ICMP if they may not be fragmented, else they pass (a link that
  // fragments and puts together again).
  uint16_t mtu = 65535;
};

// Where a frame is: between a host and the box.
struct Passing {
  const Host& host;
  bool up;  // from the host to the box
  const Packet& packet;
  std::span<const uint8_t> frame;
  Instant now;

  bool data() const { return packet.kind == Packet::Kind::tcp && !packet.tcp.data.empty(); }
  bool has(uint8_t flag) const { return packet.kind == Packet::Kind::tcp && packet.tcp.has(flag); }
};

// A rule: what happens to the frames from number `first` on (1: the first), `times` of them, that
// pass on one link in one direction and match.
struct Rule {
  enum class What : uint8_t { drop, hold, duplicate, call };

  std::string name;
  std::string host;  // empty: any
  bool up = true;
  std::function<bool(const Passing&)> match;
  What what = What::drop;
  unsigned first = 1;
  unsigned times = 1;
  Duration hold{};                           // hold, duplicate: how much later
  std::function<void(const Passing&)> call;  // call: the frame then passes

  unsigned matched = 0;  // frames so far
  unsigned applied = 0;
};

struct NetworkCounts {
  uint64_t frames = 0, lost = 0, duplicated = 0, reordered = 0, corrupted = 0, too_big = 0,
           fragmented = 0, ruled = 0;

  NetworkCounts& operator+=(const NetworkCounts& o) {
    frames += o.frames;
    lost += o.lost;
    duplicated += o.duplicated;
    reordered += o.reordered;
    corrupted += o.corrupted;
    too_big += o.too_big;
    fragmented += o.fragmented;
    ruled += o.ruled;
    return *this;
  }
};

class Network {
 public:
  Network(Middlebox& box, uint64_t seed) : box_(box), random_(seed) {}

  // The host stays the caller's. Frames that the box sends to this port go to the host with the
  // destination's address.
  void join(Host& host, uint16_t port, LinkOptions up, LinkOptions down);
  void set_link(const Host& host, bool up, LinkOptions options);
  void rule(Rule rule) { rules_.push_back(std::move(rule)); }
  // Every rule must have met its frames, or the scenario did not happen.
  std::vector<std::string> unused_rules() const;

  // A frame of nobody's that arrives at a host, or at a port of the box.
  void inject_to_host(Host& host, Bytes frame, Instant at);
  void inject_to_box(uint16_t port, Bytes frame, Instant at);
  void at(Instant when, std::function<void(Instant)> call);

  // Lets things happen until `done` or until `until`; true if done.
  bool run(const std::function<bool()>& done, Instant until);
  void run_for(Duration d) {
    run([] { return false; }, now_ + d);
  }
  // After things were done to endpoints from outside: what they sent goes on its way.
  void pump();

  Instant now() const { return now_; }
  const NetworkCounts& counts() const { return counts_; }
  // More events than this and the run stops with a violation: ACK wars.
  uint64_t event_limit = 5'000'000;
  const std::vector<std::string>& violations() const { return violations_; }
  Trace* trace = nullptr;  // may be set: every frame is told to it

 private:
  struct Station {
    Host* host = nullptr;
    uint16_t port = 0;
    LinkOptions options[2];  // down, up
    Instant free_at[2]{};    // frames do not overtake but by reordering
  };
  struct Event {
    Instant at;
    uint64_t number = 0;
    enum class Kind : uint8_t { to_box, to_host, call } kind = Kind::call;
    size_t station = 0;  // to_box: port
    Bytes frame;
    std::function<void(Instant)> call;
  };
  struct Later {
    bool operator()(const Event& a, const Event& b) const {
      return a.at != b.at ? a.at > b.at : a.number > b.number;
    }
  };

  void send(size_t station, bool up, Bytes frame);
  void pass(size_t station, bool up, Bytes frame, Duration extra, bool late);
  void from_box(std::vector<Frame> frames);
  void push(Event event);
  Instant next_time() const;
  void handle(Event event);
  void told(size_t station, bool up, std::span<const uint8_t> frame, const char* fate);

  Middlebox& box_;
  Random random_;
  std::vector<Station> stations_;
  std::vector<Rule> rules_;
  std::vector<Event> queue_;  // a heap
  uint64_t events_ = 0;
  Instant now_{};
  NetworkCounts counts_;
  std::vector<std::string> violations_;
};

}  // namespace limpet::sim
