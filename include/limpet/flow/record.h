// The flow record: everything a worker needs to rewrite a packet of a known flow, in one cache
// line, and beside it what no packet of an established flow reads. Slots are indices that stay
// valid over configuration changes (dataplane/snapshot.h): a slot is not reused while a flow refers
// to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "limpet/base/address.h"
#include "limpet/base/forwarding.h"
#include "limpet/base/time.h"
#include "limpet/tcp/track.h"

namespace limpet::flow {

using FlowId = uint32_t;
constexpr FlowId kNoFlow = 0xffffffffu;
constexpr uint8_t kBeingBuilt = 255;     // protocol of a record that is allocated but not filled
constexpr uint16_t kNotArmed = 0xffffu;  // Aside::wheel_slot of a record without a timer

// What a connection that stands waits for, which decides its time-out (Forwarding::splice).
enum class Wait : uint8_t {
  other,       // the rest of a request, a client that reads: the ceiling
  response,    // a request is complete, its response is not
  keep_alive,  // the next request
  tunnel       // whatever its ends say to each other
};

// Who of a datagram flow's ends has shown that it is there (Track::datagram).
enum class Talk : uint8_t {
  asked,     // the client alone has spoken
  answered,  // the backend has, too
  assured    // and the client again after that, so it is really there
};

struct alignas(64) Record {
  IpAddress client;
  be16 client_port{};
  be16 source_port{};    // ours, towards the backend
  uint16_t service = 0;  // slot: VIP, port, protocol
  uint16_t source = 0;   // slot: our address towards the backend
  uint16_t backend = 0;  // slot: backend address and port
  uint16_t backend_generation = 0;
  tcp::Track state = tcp::Track::syn_sent;
  uint8_t protocol = 0;  // IP protocol, 6 or 17; 0: free record; kBeingBuilt
  // One byte of marks.
  bool early_reuse : 1 = false;  // its source port was taken again within 60 s of its last use
  bool syn_held : 1 = false;     // a copy of the SYN is kept until the backend answers
  bool contested : 1 = false;    // a SYN has come for its tuple; perhaps the client began anew
  // It has a backend, which counts it. While not, backend, source and source_port mean nothing, and
  // it has its forward key only.
  bool bound : 1 = true;
  uint8_t phase : 2 = 0;  // a Wait or a Talk
  uint8_t way : 2 = 0;    // a Forwarding
  tcp::Scales scales;
  tcp::Bounds bounds;
  Tick last_seen = 0;
  uint16_t client_hop = 0;  // neighbour cache index, valid while hop_stamp is its entry's
  uint16_t hop_stamp = 0;   // 0: never valid
};

static_assert(sizeof(Record) == 64 && alignof(Record) == 64);
static_assert(std::is_trivially_copyable_v<Record>);

// Of the flow with the same id: its timer, and what only people ask for.
struct Aside {
  Tick created = 0;
  FlowId wheel_next = kNoFlow;  // timer wheel list; free list when the record's protocol is 0
  FlowId wheel_prev = kNoFlow;
  uint16_t wheel_slot = kNotArmed;
  uint8_t reason = 0;  // affinity reason of the choice
  uint8_t first = 0;   // mode nat: low octet of the number of the client's first octet
};
static_assert(sizeof(Aside) == 16 && std::is_trivially_copyable_v<Aside>);

// Mode nat: the client has opened the connection and said nothing. One that has spoken is taken for
// such a one once in 256 times.
inline bool said_nothing(const Record& r, const Aside& a) {
  return a.first == static_cast<uint8_t>(r.bounds.end[tcp::index_of(tcp::Side::client)].value);
}
inline void note_first(const Record& r, Aside& a) {
  a.first = static_cast<uint8_t>(r.bounds.end[tcp::index_of(tcp::Side::client)].value);
}

// A flow as it is shown.
struct Listed : Record {
  Tick created = 0;
  uint8_t reason = 0;
};

constexpr Wait wait_of(const Record& r) {
  return static_cast<Wait>(r.phase);
}
constexpr void set_wait(Record& r, Wait wait) {
  r.phase = static_cast<uint8_t>(wait) & 3;
}
constexpr Talk talk_of(const Record& r) {
  return static_cast<Talk>(r.phase);
}
constexpr void set_talk(Record& r, Talk talk) {
  r.phase = static_cast<uint8_t>(talk) & 3;
}
constexpr Forwarding forwarding_of(const Record& r) {
  return static_cast<Forwarding>(r.way);
}
constexpr void set_forwarding(Record& r, Forwarding f) {
  r.way = static_cast<uint8_t>(f) & 3;
}
// Whether its answers find it by a key of their own.
constexpr bool has_reverse_key(const Record& r) {
  return r.bound && two_way(forwarding_of(r));
}

}  // namespace limpet::flow
