// The flow record: everything a worker needs to rewrite a packet of a known flow, in one cache
// line, and beside it what no packet of an established flow reads. Slots are indices that stay
// valid over configuration changes (dataplane/snapshot.h): a slot is not reused while a flow refers
// to it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "limpet/base/address.h"
#include "limpet/base/time.h"
#include "limpet/tcp/track.h"

namespace limpet::flow {

using FlowId = uint32_t;
constexpr FlowId kNoFlow = 0xffffffffu;
constexpr uint8_t kBeingBuilt = 255;     // protocol of a record that is allocated but not filled
constexpr uint16_t kNotArmed = 0xffffu;  // Aside::wheel_slot of a record without a timer

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
  uint8_t flags = 0;     // Flag bits
  tcp::Scales scales;
  tcp::Edges edges;
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
  return a.first == static_cast<uint8_t>(r.edges.end[tcp::index_of(tcp::Side::client)].value);
}
inline void note_first(const Record& r, Aside& a) {
  a.first = static_cast<uint8_t>(r.edges.end[tcp::index_of(tcp::Side::client)].value);
}

// A flow as it is shown.
struct Listed : Record {
  Tick created = 0;
  uint8_t reason = 0;
};

// Mode splice: what a connection that stands waits for, which decides its time-out. In two of the
// flags, as datagrams alone have a use for those.
enum class Wait : uint8_t {
  other,       // the rest of a request, a client that reads: the ceiling
  response,    // a request is complete, its response is not
  keep_alive,  // the next request
  tunnel       // whatever its ends say to each other
};
constexpr unsigned kWaitShift = 3;
constexpr uint8_t kWaitMask = 0x18;

constexpr Wait wait_of(const Record& r) {
  return static_cast<Wait>((r.flags & kWaitMask) >> kWaitShift);
}
constexpr void set_wait(Record& r, Wait wait) {
  r.flags =
      static_cast<uint8_t>((r.flags & ~kWaitMask) | static_cast<unsigned>(wait) << kWaitShift);
}

enum Flag : uint8_t {
  early_reuse = 0x01,  // source port was taken again within 60 s of its last use
  syn_held = 0x02,     // a copy of the SYN is kept until the backend answers
  answered = 0x08,     // datagrams: the backend has sent one. Spliced: of Wait
  assured = 0x10,      // datagrams: and the client another one after that, so it is really there.
                       // Spliced: of Wait
  unbound = 0x20,      // no backend is chosen: backend, source and source_port mean nothing, and
                       // the flow has its forward key only
  spliced = 0x40,      // mode splice: its numbers are in the worker's SpliceFlow of the same id
  contested = 0x80,    // a SYN has come for its tuple; perhaps the client began anew
};

}  // namespace limpet::flow
