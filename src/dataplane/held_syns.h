// Copies of SYNs that wait for their backend's answer: it may still have the previous connection of
// our port, and the SYN goes again once that has been reset. Private to dataplane.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <vector>

#include "limpet/flow/table.h"

namespace limpet::dataplane {

// Direct-mapped by flow id; a newer SYN displaces an older one. Record::syn_held tells that there
// is one.
class HeldSyns {
 public:
  static constexpr size_t kPlaces = 4096;
  // A stale connection at the backend ends with one reset; a lost one costs another round.
  static constexpr uint8_t kMaxResends = 3;

  explicit HeldSyns(flow::Table& table) : table_(table), cells_(kPlaces) {}
  ~HeldSyns() {
    for (Cell& c : cells_) rte_pktmbuf_free(c.frame);
  }
  HeldSyns(const HeldSyns&) = delete;
  HeldSyns& operator=(const HeldSyns&) = delete;

  // A retransmission changes nothing: the copy that there is is as good.
  void hold(flow::FlowId id, const rte_mbuf* frame, rte_mempool* pool) {
    Cell& cell = cell_of(id);
    if (cell.frame != nullptr) {
      if (cell.flow == id) return;
      if (table_.live(cell.flow)) table_.at(cell.flow).syn_held = false;
      rte_pktmbuf_free(cell.frame);
    }
    cell = {id, rte_pktmbuf_copy(frame, pool, 0, UINT32_MAX), 0};
    if (cell.frame != nullptr) table_.at(id).syn_held = true;
  }
  const rte_mbuf* find(flow::FlowId id) const {
    const Cell& cell = cells_[id % kPlaces];
    return cell.flow == id ? cell.frame : nullptr;
  }
  // It has been sent again: dropped when that was as often as one SYN of the client may make us.
  void spend(flow::FlowId id) {
    if (++cell_of(id).resends >= kMaxResends) drop(id);
  }
  void drop(flow::FlowId id) {
    if (Cell& cell = cell_of(id); cell.flow == id) {
      rte_pktmbuf_free(cell.frame);
      cell = {};
    }
    table_.at(id).syn_held = false;
  }

 private:
  struct Cell {
    flow::FlowId flow = flow::kNoFlow;
    rte_mbuf* frame = nullptr;
    uint8_t resends = 0;
  };
  Cell& cell_of(flow::FlowId id) { return cells_[id % kPlaces]; }

  flow::Table& table_;
  std::vector<Cell> cells_;
};

}  // namespace limpet::dataplane
