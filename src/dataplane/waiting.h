// The spliced connections of a worker that hold memory while something is waited for: what each
// holds, when it last got on, and all of them in an array, so that some can be looked at by chance.
// Private to dataplane.
#pragma once

#include <cassert>
#include <cstdint>
#include <vector>

#include "limpet/base/time.h"
#include "limpet/flow/record.h"
#include "limpet/flow/shares.h"
#include "mapped.h"

namespace limpet::dataplane {

class WaitingFlows {
 public:
  // Of one flow; zero while it holds nothing.
  struct Entry {
    flow::Places places{};
    uint32_t said = 0;      // sum of numbers that move when a side says something new
    Tick progress = 0;      // when they last moved
    uint32_t position = 0;  // in the array, from 1 on; 0: not there
  };

  explicit WaitingFlows(uint32_t flows) : entries_(flows) { all_.reserve(flows); }

  const Entry& at(flow::FlowId id) const { return entries_[id]; }
  bool contains(flow::FlowId id) const { return entries_[id].position != 0; }
  uint32_t size() const { return static_cast<uint32_t>(all_.size()); }
  flow::FlowId operator[](uint32_t i) const { return all_[i]; }

  void set(flow::FlowId id, const flow::Places& places, uint32_t said, Tick now) {
    Entry& e = entries_[id];
    if (e.position == 0) {
      all_.push_back(id);
      e.position = static_cast<uint32_t>(all_.size());
      e.progress = now;
    } else if (e.said != said) {
      e.progress = now;
    }
    e.said = said;
    e.places = places;
  }
  void remove(flow::FlowId id) {
    Entry& e = entries_[id];
    assert(e.position != 0);
    const flow::FlowId last = all_.back();
    all_[e.position - 1] = last;
    entries_[last].position = e.position;
    all_.pop_back();
    e = {};
  }

 private:
  Mapped<Entry> entries_;  // by flow id
  std::vector<flow::FlowId> all_;
};

}  // namespace limpet::dataplane
