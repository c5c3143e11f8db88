// One received frame between the stages of a burst, and small helpers on mbufs. Private to
// dataplane.
#pragma once

#include <rte_mbuf.h>

#include <span>

#include "limpet/dataplane/snapshot.h"
#include "limpet/wire/ethernet.h"
#include "limpet/wire/frame.h"

namespace limpet::dataplane {

enum class Path : uint8_t { client, backend, local };

struct Packet {
  rte_mbuf* m = nullptr;
  uint16_t port = 0;    // limpet's number of the port it came in by
  bool handed = false;  // came from another worker: this one owns it
  Path path = Path::local;
  uint16_t service = kNoSlot;
  const Local* local = nullptr;
  uint64_t hash = 0;
  wire::Frame f;

  std::span<uint8_t> bytes() const {
    return {rte_pktmbuf_mtod(m, uint8_t*), rte_pktmbuf_data_len(m)};
  }
  // Of its IP packet.
  size_t length() const { return f.end - f.l3; }
};

// That a received frame has ended. Only what ends one makes this, every stage that takes a frame
// returns it, and none may be thrown away: so the compiler sees that on each way through the worker
// a frame ends, and that it ends once. It is empty and costs nothing.
class [[nodiscard]] Ended {
  Ended() = default;
  friend class Outlet;
};

// Length of the mbuf, which is in one segment, becomes `length` (shorter or longer within its
// room).
inline void set_length(rte_mbuf* m, size_t length) {
  m->data_len = static_cast<uint16_t>(length);
  m->pkt_len = static_cast<uint32_t>(length);
}

inline std::span<uint8_t> room(rte_mbuf* m) {
  return {rte_pktmbuf_mtod(m, uint8_t*), static_cast<size_t>(m->buf_len - m->data_off)};
}

}  // namespace limpet::dataplane
