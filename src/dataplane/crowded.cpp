// Who gives when source ports towards a backend, or places of the flow table, become short, as for
// other memory (splicer_shares.cpp):
//
//   below 3/4     nothing is looked at: one source may have all of it
//   from 3/4      whoever takes one costs the source that has most connections standing still one
//   from 15/16    one whose client has said nothing yet (mode nat) need not have stood still
//   then to 1/4   those go that have stood for ten seconds, and said nothing but at their beginning
//
// What stands still here is a connection that nobody was heard on for a second: one that carries
// data counts against nobody.
#include <netinet/in.h>

#include <algorithm>

#include "flow_book.h"
#include "limpet/base/hash.h"
#include "limpet/flow/crowd.h"
#include "pressure.h"

namespace limpet::dataplane {
namespace {

using flow::Crowd;

constexpr Tick kBeginning = to_ticks(std::chrono::seconds(3));
constexpr unsigned kFew = 4;          // in a tick, while it empties
constexpr uint32_t kLeastPorts = 64;  // of fewer no share can be told
constexpr Tick kGauge = to_ticks(std::chrono::seconds(1));

constexpr Crowd::Stage stage_of(const flow::Record& r) {
  switch (r.state) {
    case tcp::Track::time_wait:
    case tcp::Track::closed:
    case tcp::Track::dead:
      return Crowd::Stage::ended;
    case tcp::Track::established:
    case tcp::Track::fin_client:
    case tcp::Track::fin_backend:
      return Crowd::Stage::standing;
    case tcp::Track::datagram:
      return flow::talk_of(r) == flow::Talk::assured ? Crowd::Stage::standing : Crowd::Stage::begun;
    default:
      return Crowd::Stage::begun;
  }
}

}  // namespace

FlowBook::Taken FlowBook::ports_of(uint16_t backend) const {
  Taken t;
  for (const PoolSource& source : core_.snapshot->backends[backend].sources) {
    const flow::SourcePorts* ports = source.ports[core_.id];
    if (ports == nullptr) continue;
    t.used += ports->in_use();
    t.total += source.retired ? 0 : ports->capacity();
  }
  return t;
}

// A flow of this backend, by chance.
flow::FlowId FlowBook::some_flow(uint16_t backend, uint64_t random) const {
  if (backend == kNoSlot) return table_.some(random);
  const BackendEntry& entry = core_.snapshot->backends[backend];
  if (entry.sources.empty()) return flow::kNoFlow;
  const PoolSource& source = entry.sources[(random >> 32) % entry.sources.size()];
  const flow::SourcePorts* ports = source.ports[core_.id];
  const auto port = ports == nullptr ? std::nullopt : ports->some(random);
  if (!port) return flow::kNoFlow;
  for (const uint8_t protocol : {uint8_t{IPPROTO_TCP}, uint8_t{IPPROTO_UDP}}) {
    const flow::ReverseKey key{entry.address, entry.port, source.source, *port, protocol};
    if (const flow::FlowId id = table_.find(key, table_.hash(key)); id != flow::kNoFlow) return id;
  }
  return flow::kNoFlow;
}

// Of the source that has most of what is looked for, the one that has stood longest. False: nobody
// gave.
bool FlowBook::give_way(const Search& search, Counter& gave) {
  Crowd crowd;
  const uint64_t seed = core_.random();
  for (unsigned i = 0; i < Crowd::kMost; ++i) {
    const flow::FlowId id = some_flow(search.backend, mix64(seed + i));
    if (id == flow::kNoFlow) continue;
    const flow::Record& r = table_.at(id);
    const Tick still = core_.tick - r.last_seen;
    const Crowd::Stage stage = stage_of(r);
    if (stage == Crowd::Stage::standing) {
      const flow::Aside& aside = table_.aside(id);
      const bool silent = r.state == tcp::Track::established &&
                          flow::forwarding_of(r) == Forwarding::nat && flow::said_nothing(r, aside);
      const bool beginning = silent || r.last_seen - aside.created <= kBeginning;
      const bool stands = search.seek == Seek::stuck
                              ? still >= kStuck && beginning
                              : still >= kGetsOn || (silent && search.seek == Seek::silent_too);
      if (!search.standing || !stands) continue;
    } else if (search.seek == Seek::stuck || r.state == tcp::Track::connecting ||
               (stage == Crowd::Stage::begun && !search.half_open)) {
      continue;  // goes by itself in time, or has a whole request
    }
    crowd.add({id, r.client, still, stage});
  }
  const Crowd::One* one = crowd.who(search.full);
  if (one == nullptr || !end(*one, search.backend != kNoSlot)) return false;
  (one->stage == Crowd::Stage::standing ? gave : core_.n.flows_evicted).add();
  return true;
}

// Both ends of a connection are told. Of its tombstone stays what its client needs to hear again;
// where flows are short, nothing. False: no buffer, or enough for this iteration.
bool FlowBook::end(const Crowd::One& one, bool port) {
  const tcp::Track state = table_.at(one.id).state;
  if (one.stage == Crowd::Stage::standing && state != tcp::Track::datagram) {
    if (gone_left_ == 0 || !must_end(one.id, Ending::gave_way)) return false;
    --gone_left_;
  }
  if (port && table_.at(one.id).state == tcp::Track::dead)
    unbind(one.id);
  else
    end(one.id);
  return true;
}

void FlowBook::room_for_port(uint16_t backend, Give which) {
  const Taken ports = ports_of(backend);
  const bool full = ports.used >= ports.total;
  const bool crowded = ports.total >= kLeastPorts && ports.used >= mark_of(ports.total);
  if (!full && !crowded) return;
  if (crowded && crowded_[backend] == 0) {
    crowded_[backend] = 1;
    crowded_list_.push_back(backend);
  }
  give_way({.backend = backend,
            .seek = nearly_full(ports.used, ports.total) ? Seek::silent_too : Seek::still,
            .full = full,
            .half_open = which == Give::half_open_too,
            .standing = crowded},
           core_.n.ports_gave_way);
}

void FlowBook::room_for_flow() {
  if (table_.used() < mark_of(table_.capacity())) return;
  flows_short_ = true;
  give_way({.seek = nearly_full(table_.used(), table_.capacity()) ? Seek::silent_too : Seek::still},
           core_.n.flows_gave_way);
}

// Once a tick, as it may go on for as long as a quarter is used: what was crowded empties, one
// backend at a time.
void FlowBook::empty_crowds() {
  if (emptied_at_ == core_.tick) return;
  emptied_at_ = core_.tick;
  if (!tick_before(core_.tick, ports_read_)) {
    ports_read_ = core_.tick + kGauge;
    Taken fullest;
    for (size_t i = 0; i < core_.snapshot->backends.size(); ++i) {
      if (!core_.snapshot->backends[i].used) continue;
      const Taken t = ports_of(static_cast<uint16_t>(i));
      if (t.total != 0 &&
          uint64_t{t.used} * std::max(fullest.total, 1u) >= uint64_t{fullest.used} * t.total)
        fullest = t;
    }
    core_.n.ports_used.set(fullest.used);
    core_.n.ports_total.set(fullest.total);
  }
  if (flows_short_) {
    flows_short_ = table_.used() >= emptied(table_.capacity());
    for (unsigned i = 0; flows_short_ && i < kFew; ++i)
      if (!give_way({.seek = Seek::stuck}, core_.n.flows_gave_way)) break;
  }
  if (crowded_list_.empty()) return;
  const uint16_t backend = crowded_list_.front();
  crowded_list_.erase(crowded_list_.begin());
  const Taken ports = ports_of(backend);
  if (ports.used < emptied(ports.total)) {
    crowded_[backend] = 0;
    return;
  }
  crowded_list_.push_back(backend);  // it is its turn again behind the others
  for (unsigned i = 0; i < kFew; ++i)
    if (!give_way({.backend = backend, .seek = Seek::stuck}, core_.n.ports_gave_way)) break;
}

}  // namespace limpet::dataplane
