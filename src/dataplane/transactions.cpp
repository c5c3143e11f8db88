#include "transactions.h"

#include <algorithm>

namespace limpet::dataplane {
namespace {

// Moves `seen` on to `to`, if that is further. Returns by how much.
uint64_t advance(tcp::Seq& seen, tcp::Seq to) {
  if (!(to > seen)) return 0;
  const auto by = static_cast<uint32_t>(to - seen);
  seen = to;
  return by;
}

// Of a request target: the query may be anything of the user's. (A target that says who asks,
// "http://user:word@host/", is refused before.)
std::string_view without_query(std::string_view target) {
  return target.substr(0, target.find_first_of("?#"));
}

}  // namespace

Transactions::Transactions(Core& core, FlowBook& book, uint32_t flows)
    : core_(core),
      book_(book),
      first_(flows),
      pool_(std::min(flows, kMost)),
      count_(std::min(flows, kMost)) {}

template <class Visit>
void Transactions::each(flow::FlowId flow, Visit visit) {
  for (TransactionId id = first_[flow]; id != kNoTransaction;) {
    const TransactionId next = at(id).next;
    visit(id, at(id));
    id = next;
  }
}

TransactionId Transactions::begin(flow::FlowId flow, bool others, tcp::Seq first) {
  if (!core_.in_sample()) return kNoTransaction;
  if (!others) first_[flow] = kNoTransaction;
  unsigned under_way = 0;
  each(flow, [&](TransactionId, Transaction&) { ++under_way; });
  TransactionId id = free_;
  if (under_way >= kMostOfFlow) {
    core_.n.log_untold.add();
    return kNoTransaction;
  }
  if (id != kNoTransaction) {
    free_ = at(id).next;
  } else if (fresh_ != count_) {
    id = fresh_++;
  } else {
    core_.n.log_untold.add();
    return id;
  }
  ++used_;
  Transaction& t = at(id) = Transaction{};
  t.began = core_.now;
  t.up_seen = first;
  TransactionId* last = &first_[flow];
  while (*last != kNoTransaction) last = &at(*last).next;
  *last = id;
  // A later one goes where the connection does.
  const flow::Record& r = book_.at(flow);
  if (r.bound) {
    name_flow(r, t.record);
    t.chosen = t.connected = core_.now;
  }
  return id;
}

void Transactions::give(TransactionId id) {
  at(id).next = free_;
  free_ = id;
  --used_;
}

void Transactions::asked(TransactionId id, std::string_view method, std::string_view target) {
  if (id == kNoTransaction) return;
  Transaction& t = at(id);
  t.head = true;
  t.asked = core_.now;
  t.record.head = core_.now - t.began;
  std::copy_n(method.begin(), std::min(method.size(), t.record.verb.size()), t.record.verb.begin());
  target = without_query(target);
  const size_t most = t.record.path.size();
  std::copy_n(target.begin(), std::min(target.size(), most), t.record.path.begin());
  t.record.path_length = static_cast<uint8_t>(std::min(target.size(), most));
  t.record.path_cut = target.size() > most;
}

void Transactions::request_ends(TransactionId id, tcp::Seq end) {
  if (id == kNoTransaction) return;
  at(id).up_ended = true;
  at(id).up_end = end;
}

void Transactions::answered(TransactionId id, uint16_t status, tcp::Seq first,
                            Instant first_octet) {
  if (id == kNoTransaction) return;
  Transaction& t = at(id);
  t.answered = true;
  t.record.status = status;
  t.down_seen = first;
  t.down_ended = t.last;  // if nothing else says where
  t.down_end = t.fin;
  t.record.first_byte = std::max(first_octet - std::max(t.asked, t.connected), Duration::zero());
}

void Transactions::response_ends(TransactionId id, tcp::Seq end) {
  if (id == kNoTransaction) return;
  at(id).down_ended = true;
  at(id).down_end = end;
}

void Transactions::tunnels(TransactionId id) {
  if (id == kNoTransaction) return;
  at(id).up_ended = false;
  at(id).tunnel = true;
}

void Transactions::blame(TransactionId id, Ending ending) {
  if (id == kNoTransaction || at(id).blamed) return;
  at(id).blamed = true;
  at(id).record.ending = ending;
}

void Transactions::trying(flow::FlowId flow, uint8_t entry) {
  each(flow, [&](TransactionId, Transaction& t) {
    name_flow(book_.at(flow), t.record);
    if (t.record.tries == 0) t.chosen = core_.now;
    if (t.record.tries != UINT8_MAX) ++t.record.tries;
    t.record.entry = entry;
  });
}

void Transactions::connected(flow::FlowId flow) {
  each(flow, [&](TransactionId, Transaction& t) {
    t.connected = core_.now;
    t.record.connect = core_.now - t.chosen;
  });
}

bool Transactions::moved(flow::FlowId flow, tcp::Seq up, tcp::Seq down, bool closed) {
  each(flow, [&](TransactionId id, Transaction& t) {
    if (t.head) t.record.in += advance(t.up_seen, t.up_ended && up > t.up_end ? t.up_end : up);
    if (t.answered)
      t.record.out += advance(t.down_seen, t.down_ended && down > t.down_end ? t.down_end : down);
    // What has not come by now never will.
    const bool nothing_more = closed && t.last && down > t.fin;
    if (nothing_more || (t.up_ended && t.up_seen == t.up_end && t.over())) finish(flow, id);
  });
  return first_[flow] != kNoTransaction;
}

void Transactions::backend_closed(flow::FlowId flow, tcp::Seq end) {
  each(flow, [&](TransactionId id, Transaction& t) {
    t.last = true;
    t.fin = end;
    if (t.answered && !t.down_ended) response_ends(id, end);
  });
}

void Transactions::client_closed(flow::FlowId flow, tcp::Seq end) {
  each(flow, [&](TransactionId id, Transaction& t) {
    if (t.tunnel && !t.up_ended) request_ends(id, end);
  });
}

void Transactions::blame_all(flow::FlowId flow, Ending ending) {
  each(flow, [&](TransactionId id, Transaction&) { blame(id, ending); });
}

void Transactions::own_answer(flow::FlowId flow, uint16_t status, size_t octets) {
  bool given = false;
  each(flow, [&](TransactionId, Transaction& t) {
    if (t.answered || given) return;
    given = true;
    t.record.status = status;
    t.record.own = true;
    t.record.out = octets;
  });
}

void Transactions::close(flow::FlowId flow) {
  each(flow, [&](TransactionId id, Transaction&) { finish(flow, id); });
}

void Transactions::finish(flow::FlowId flow, TransactionId id) {
  Transaction& t = at(id);
  LogRecord& record = t.record;
  const bool over = t.over();
  if (over)
    record.phase = Phase::none;
  else if (t.answered)
    record.phase = Phase::data;
  else if (!t.head)
    record.phase = Phase::request;
  else
    record.phase = t.connected.ns != 0 ? Phase::head : Phase::connect;
  if (over)
    record.ending = Ending::done;
  else if (!t.blamed)
    record.ending = t.head && t.up_ended ? Ending::backend_abort : Ending::client_abort;
  if (record.ending == Ending::refused) record.phase = Phase::request;
  const flow::Record& r = book_.at(flow);
  if (record.backend == kNoSlot) name_flow(r, record);
  record.reason = book_.aside(flow).reason;
  record.ended = core_.now;
  record.total = core_.now - t.began;
  TransactionId* link = &first_[flow];
  while (*link != id) link = &at(*link).next;
  *link = t.next;
  core_.log(record);
  give(id);
}

}  // namespace limpet::dataplane
