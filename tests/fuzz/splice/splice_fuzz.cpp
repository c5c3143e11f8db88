// A whole spliced connection between two ends that the input drives: handshakes, segments from both
// sides in any order and any cut, losses, late and impossible ACKs, windows, routers' errors, time.
// Each end sends one consistent stream and acknowledges only what it has, so a model
// (splice_model.h) can say of every octet, ACK, SACK block and window that leaves whether an end
// may be told it. Memory for holds and edits is bounded and sometimes not there.
//
// Input: 16 bytes of setting (run()), up to four heads of each stream (Ends::plan()), then actions
// (Ends::act()), each an operation and what it needs.
#include <array>
#include <chrono>
#include <memory>
#include <optional>

#include "limpet/tcp/handshake.h"
#include "limpet/tcp/splice.h"
#include "limpet/wire/frame.h"
#include "splice_model.h"

namespace limpet::tcp::fuzz {
namespace {

using namespace std::chrono_literals;
using wire::tcp_flag;

struct Head {
  uint32_t begin = 0, end = 0;
  Edit edit;
};

class Ends : SpliceSink, SpliceEditor, HoldMemory {
 public:
  explicit Ends(Input& in) : in_(in) {}
  void run();

 private:
  enum class Phase { head, connecting, established, answered, over };

  // The product's interfaces.
  void emit(SpliceFlow&, Side to, const SegmentOut& s) override;
  uint32_t most(const SpliceFlow&, Side to) override { return to == Side::client ? 1240 : 1460; }
  Shown show(SpliceFlow& flow, Side from, std::span<const uint8_t> bytes, bool fin) override;
  std::span<uint8_t> take(uint32_t size) override;
  void give(std::span<uint8_t> memory) override;
  uint32_t take_binding(SpliceFlow& flow) override;
  void give_binding(uint32_t binding) override;
  SpliceBinding& binding(uint32_t index) override;
  void due(uint32_t, Instant at) override { require(at.ns != 0, "a deadline is a time"); }

  bool open();
  std::vector<Head> plan(uint32_t fin_at);
  void act();
  void send(Side from, uint32_t offset, uint32_t length, bool fin, uint8_t extra);
  void connect();
  void answer();
  void note_window(Side from, const SegmentIn& in);
  void deliver(Side from, const SegmentIn& in);
  void in_place(Side from, const SegmentIn& in, const wire::SpliceNumbers& n);
  void odd_segment(Side from, uint8_t kind);
  SegmentIn blank(Side from, uint8_t extra);
  void advance(Duration by);

  // Checks of what leaves.
  void check_told(Side to, Seq ack, uint16_t window, const wire::SackBlocks& sack);
  void check_octets(Side to, Seq seq, std::span<const uint8_t> octets, uint32_t at);
  void receive(Side to, uint32_t y, uint32_t length, bool fin);

  Stream& stream(Side s) { return stream_[index_of(s)]; }

  Input& in_;
  EditPool edits_{4096};
  CopyPool copies_{1 << 16};
  Splice splice_{edits_, copies_, *this, *this, *this};
  SynAckOptions syn_ack_;
  SpliceFlow flow_;
  SpliceBinding binding_;
  bool binding_used_ = false;
  std::vector<std::unique_ptr<uint8_t[]>> memory_;
  std::vector<uint32_t> sizes_;
  uint32_t memory_left_ = 0;
  uint8_t refusals_ = 0;  // bits: whether the next requests for memory are refused

  Phase phase_ = Phase::head;
  Instant now_{1'000'000'000'000};
  Stream stream_[2];
  Seq start_[2];   // original number of each stream's first octet
  Seq mapped_[2];  // and what its receiver sees
  std::vector<Head> heads_[2];
  size_t next_head_[2] = {0, 0};
  uint32_t next_[2] = {0, 0};  // offset behind what was sent
  uint16_t window_[2] = {0, 0};
  Seq right_[2];  // [side] right edge of the window that it has told, as it told it
  Seq told_[2];   // [side] right edge of the window that it was told
  bool told_any_[2] = {false, false};
  bool taken_back_[2] = {false, false};  // [side] it has told less than before, or nothing at all
  uint32_t clock_[2] = {1000, 0xffffff00u};
  uint32_t heard_[2] = {0, 0};  // newest timestamp that each side has seen
  bool lose_ = false;           // what the splice sends now does not arrive
  bool blind_ = false;          // the editor lets bodies pass that it was not shown
  Bytes answer_;
};

std::span<uint8_t> Ends::take(uint32_t size) {
  require(size != 0, "memory is asked for");
  const bool refused = (refusals_ & 1) != 0;
  refusals_ = static_cast<uint8_t>(refusals_ >> 1);
  if (refused || size > memory_left_) return {};
  memory_left_ -= size;
  memory_.push_back(std::make_unique<uint8_t[]>(size));
  sizes_.push_back(size);
  return {memory_.back().get(), size};
}

void Ends::give(std::span<uint8_t> memory) {
  for (size_t i = 0; i < memory_.size(); ++i) {
    if (memory_[i].get() != memory.data()) continue;
    require(sizes_[i] == memory.size(), "memory goes back as it was taken");
    memory_left_ += sizes_[i];
    memory_.erase(memory_.begin() + static_cast<ptrdiff_t>(i));
    sizes_.erase(sizes_.begin() + static_cast<ptrdiff_t>(i));
    return;
  }
  require(false, "memory that goes back was taken");
}

uint32_t Ends::take_binding(SpliceFlow&) {
  require(!binding_used_, "one work a connection");
  const bool refused = (refusals_ & 1) != 0;
  refusals_ = static_cast<uint8_t>(refusals_ >> 1);
  if (refused) return kNoBinding;
  binding_used_ = true;
  return 7;
}
void Ends::give_binding(uint32_t binding) {
  require(binding == 7 && binding_used_, "binding that goes back was taken");
  binding_used_ = false;
}
SpliceBinding& Ends::binding(uint32_t index) {
  require(index == 7 && binding_used_, "work that is used was taken");
  return binding_;
}

Shown Ends::show(SpliceFlow& flow, Side from, std::span<const uint8_t> bytes, bool fin) {
  const size_t d = index_of(from);
  Stream& s = stream_[d];
  StreamMap& map = flow.ends[d].map;
  require(!map.is_open(), "an open stream is not shown");
  const auto at = static_cast<uint32_t>(map.frontier() - start_[d]);
  const auto end = at + static_cast<uint32_t>(bytes.size());
  require(bytes.empty() || s.sent.has(at, end), "what is shown has come");
  for (uint32_t i = 0; i < bytes.size(); ++i)
    require(bytes[i] == s.original(at + i), "what is shown is what was sent");
  require(!fin || (s.fin_sent && end == s.fin_at), "a FIN follows the last octet");
  uint32_t final = 0;
  while (next_head_[d] < heads_[d].size()) {
    const Head& h = heads_[d][next_head_[d]];
    if (end < h.end) {
      if (h.begin > at) final = std::max(final, (blind_ ? h.begin : std::min(h.begin, end)) - at);
      return {final, fin};
    }
    const Edit& e = h.edit;
    if ((e.removed != 0 || !e.text.empty()) &&
        map.append(edits_, start_[d] + e.at, e.removed, e.text))
      s.edits.push_back(e);
    ++next_head_[d];
    final = h.end - at;
  }
  return {end - at, true};
}

void Ends::check_told(Side to, Seq ack, uint16_t window, const wire::SackBlocks& sack) {
  const size_t d = index_of(to);
  const Stream& s = stream_[d];
  const int32_t acked = ack - start_[d];
  require(acked >= 0 && acked <= static_cast<int32_t>(s.contiguous_sent()),
          "an ACK names only what has come");
  for (unsigned i = 0; i < sack.count; ++i) {
    const int32_t left = Seq{sack.block[i].left} - start_[d];
    const int32_t right = Seq{sack.block[i].right} - start_[d];
    const bool twice = i == 0 && left >= 0 && right <= acked;  // a D-SACK (RFC 2883)
    require((left > acked || twice) && left < right, "a SACK block is behind the ACK");
    const auto octets = std::min<uint32_t>(static_cast<uint32_t>(right), s.fin_at);
    require(
        s.sent.has(static_cast<uint32_t>(left), octets) || static_cast<uint32_t>(left) == octets,
        "a SACK block names only what has come");
  }
  const Seq edge = ack + (uint32_t{window} << flow_.advertised[d]);
  require(!told_any_[d] || edge >= told_[d] || window == 65535 || taken_back_[index_of(other(to))],
          "a window does not shrink of our own accord");
  if (!told_any_[d] || edge > told_[d]) told_[d] = edge;
  told_any_[d] = true;
}

// Octets to `to` at sequence number `seq`, which stand in a segment from offset `at` on.
void Ends::check_octets(Side to, Seq seq, std::span<const uint8_t> octets, uint32_t at) {
  const size_t d = index_of(other(to));
  const Stream& s = stream_[d];
  const int32_t y = seq + at - mapped_[d];
  require(y >= 0 || octets.empty(), "octets are of the stream");
  for (size_t i = 0; i < octets.size(); ++i)
    require(octets[i] == s.mapped(static_cast<uint32_t>(y) + static_cast<uint32_t>(i)),
            "octets are what the edited stream has there");
}

void Ends::receive(Side to, uint32_t y, uint32_t length, bool fin) {
  const Side from = other(to);
  Stream& s = stream(from);
  const StreamMap& map = flow_.at(from).map;
  const uint32_t end = y + length;
  if (!map.is_open()) {
    const auto frontier = static_cast<uint32_t>(map.frontier() - start_[index_of(from)]);
    require(end <= s.behind_edits(frontier), "nothing passes that may still be edited");
  }
  require(!fin || (s.fin_sent && end == s.behind_edits(s.fin_at)), "the FIN is at the end");
  // One octet goes to a closed window, and a FIN may stand at the edge.
  const uint32_t acked = static_cast<uint32_t>(map.ack() - mapped_[index_of(from)]);
  const int32_t right = right_[index_of(to)] - mapped_[index_of(from)];
  require(static_cast<int32_t>(end) <= std::max<int32_t>(right, static_cast<int32_t>(acked) + 1),
          "nothing is sent beyond the window");
  if (lose_ || static_cast<int32_t>(end) > right) return;
  s.received.add(y, end);
  if (fin) s.fin_received = true;
}

void Ends::emit(SpliceFlow&, Side to, const SegmentOut& o) {
  const Side from = other(to);
  Bytes octets;
  for (unsigned i = 0; i < o.piece_count; ++i)
    octets.insert(octets.end(), o.pieces[i].begin(), o.pieces[i].end());
  require(octets.size() == o.length || o.piece_count == 0, "a length is that of its pieces");
  require((o.flags & tcp_flag::ack) != 0 && (o.flags & (tcp_flag::syn | tcp_flag::rst)) == 0,
          "segments of a connection");
  check_told(to, o.ack, o.window, o.sack);
  require(o.timestamps.has_value() == flow_.timestamps[index_of(to)],
          "timestamps for those who agreed to them");
  if (o.timestamps) heard_[index_of(to)] = o.timestamps->value;
  const bool fin = (o.flags & tcp_flag::fin) != 0;
  if (octets.empty() && !fin) return;
  const uint32_t options = (o.timestamps ? 12 : 0) + (o.sack.count != 0 ? 4 + 8 * o.sack.count : 0);
  const uint32_t announced = std::max<uint32_t>(flow_.at(to).most, Splice::kLeastMss);
  require(o.length + options <= std::min(announced, most(flow_, to)), "octets and options fit");
  check_octets(to, o.seq, octets, 0);
  receive(to, static_cast<uint32_t>(o.seq - mapped_[index_of(from)]), o.length, fin);
}

void Ends::in_place(Side from, const SegmentIn& in, const wire::SpliceNumbers& n) {
  const Side to = other(from);
  if ((in.flags & tcp_flag::rst) != 0) {
    phase_ = Phase::over;
    return;
  }
  check_told(to, Seq{n.ack}, n.window, n.sack);
  if (in.timestamps) heard_[index_of(to)] = in.timestamps->value + n.tsval_shift;
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  if (in.payload.empty() && !fin) return;
  const StreamMap& map = flow_.at(from).map;
  const auto length = static_cast<uint32_t>(in.payload.size());
  // A probe may carry an octet of garbage that is old.
  if (Seq{n.seq} + length == map.ack() && length == 1 && !fin) return;
  check_octets(to, Seq{n.seq}, in.payload, 0);
  receive(to, static_cast<uint32_t>(Seq{n.seq} - mapped_[index_of(from)]), length, fin);
}

// Heads one behind the other, with an edit in most of them; in each, an octet follows the edit.
std::vector<Head> Ends::plan(uint32_t fin_at) {
  std::vector<Head> heads;
  uint32_t at = 0;
  for (unsigned count = in_.byte() % 5; count != 0; --count) {
    Head h;
    h.begin = at + in_.byte() * (in_.byte() % 8u);
    h.end = h.begin + 2 + in_.half() % 3000;
    h.edit.at = h.begin + in_.half() % (h.end - h.begin - 1);
    h.edit.removed = in_.half() % (h.end - h.edit.at);
    h.edit.text.resize(in_.half() % 600);
    for (size_t i = 0; i < h.edit.text.size(); ++i)
      h.edit.text[i] = static_cast<uint8_t>(h.end * 7 + i * 13 + 1);
    at = h.end;
    if (h.end <= fin_at) heads.push_back(std::move(h));
  }
  // Between two edits an octet survives.
  for (size_t i = 1; i < heads.size(); ++i) {
    const Edit& before = heads[i - 1].edit;
    if (heads[i].edit.at <= before.at + before.removed) heads[i].edit = Edit{};
  }
  return heads;
}

SegmentIn Ends::blank(Side from, uint8_t extra) {
  const size_t d = index_of(from);
  const Side to = other(from);
  const Stream& back = stream(to);  // the stream that it receives
  SegmentIn in;
  in.seq = start_[d] + next_[d];
  uint32_t acked = back.contiguous_received();
  if ((extra & 1) != 0) acked -= std::min<uint32_t>(acked, in_.byte() * 16u);
  in.ack = mapped_[index_of(to)] + acked;
  in.flags = tcp_flag::ack;
  if ((extra & 2) != 0) window_[d] = in_.half();
  in.window = window_[d];
  if (flow_.timestamps[d] != ((extra & 32) != 0)) {
    clock_[d] += in_.byte();
    in.timestamps = {clock_[d], heard_[d]};
  }
  if ((extra & 4) != 0) {
    for (const auto& [begin, end] : back.received.ranges())
      if (begin > acked && in.sack.count < 3)
        in.sack.block[in.sack.count++] = {(mapped_[index_of(to)] + begin).value,
                                          (mapped_[index_of(to)] + end).value};
  }
  in.options = static_cast<uint8_t>((in.timestamps ? 12 : 0) +
                                    (in.sack.count != 0 ? 4 + 8 * in.sack.count : 0));
  return in;
}

void Ends::note_window(Side from, const SegmentIn& in) {
  const size_t d = index_of(from);
  const Seq right = in.ack + (uint32_t{in.window} << flow_.scale[d]);
  if (in.ack > flow_.at(other(from)).map.emitted()) return;
  if (right > right_[d]) right_[d] = right;
  if (in.window == 0 || right + (1u << flow_.scale[d]) <= right_[d]) taken_back_[d] = true;
}

void Ends::deliver(Side from, const SegmentIn& in) {
  const size_t d = index_of(from);
  Stream& s = stream_[d];
  const auto offset = static_cast<uint32_t>(in.seq - start_[d]);
  const bool fin = (in.flags & tcp_flag::fin) != 0;
  const bool normal =
      (in.flags & (tcp_flag::syn | tcp_flag::rst)) == 0 && (in.flags & tcp_flag::ack) != 0;
  // Before the backend is there, what is no plain segment of the connection ends in front of the
  // splice.
  const bool plain = normal && in.ack <= flow_.at(other(from)).map.emitted();
  if (phase_ != Phase::established && !plain) return;
  if (normal && (!in.payload.empty() || fin)) {
    s.sent.add(offset, offset + static_cast<uint32_t>(in.payload.size()));
    if (fin) s.fin_sent = true;
  }
  if (normal) note_window(from, in);
  switch (phase_) {
    case Phase::head:
    case Phase::connecting:
      if (from == Side::client && splice_.collect(flow_, in, now_)) {
        require(phase_ == Phase::head, "the editor has seen enough once");
        phase_ = Phase::connecting;
      }
      break;
    case Phase::answered:
      if (from == Side::client && splice_.answered(flow_, in, now_)) phase_ = Phase::over;
      break;
    case Phase::established: {
      const Handled h = splice_.relay(flow_, from, in, now_);
      require((h.fate == Fate::dropped) == (h.reason != Drop::none), "a drop has a reason");
      if (h.fate == Fate::in_place) in_place(from, in, h.numbers);
      break;
    }
    case Phase::over:
      break;
  }
}

void Ends::send(Side from, uint32_t offset, uint32_t length, bool fin, uint8_t extra) {
  Stream& s = stream(from);
  offset = std::min(offset, s.fin_at);
  length = std::min(length, s.fin_at - offset);
  SegmentIn in = blank(from, extra);
  in.seq = start_[index_of(from)] + offset;
  auto octets = std::make_unique<uint8_t[]>(length);  // its end is watched
  for (uint32_t i = 0; i < length; ++i) octets[i] = s.original(offset + i);
  in.payload = {octets.get(), length};
  if (fin && offset + length == s.fin_at) in.flags |= tcp_flag::fin;
  if ((extra & 64) != 0) in.flags |= tcp_flag::psh;
  next_[index_of(from)] = std::max(next_[index_of(from)], offset + length);
  deliver(from, in);
}

// What a splice must survive although no honest end sends it.
void Ends::odd_segment(Side from, uint8_t kind) {
  SegmentIn in = blank(from, 2);
  switch (kind % 8) {
    case 0:
      in.flags = tcp_flag::syn | tcp_flag::ack;
      break;
    case 1:
      in.flags = tcp_flag::psh;
      break;
    case 2:
      in.ack = flow_.at(other(from)).map.emitted() + 1 + in_.half();
      break;
    case 3:
      in.seq = in.seq + in_.half();
      break;
    case 4:
      in.seq = in.seq - in_.half();
      break;
    case 5:  // blocks of what was never sent
      in.sack.count = 2;
      in.sack.block[0] = {in.ack.value + 0x10000000, in.ack.value + 0x20000000};
      in.sack.block[1] = {in.ack.value + 9, in.ack.value + 3};
      break;
    case 6: {  // a keep-alive probe with an octet that is none of the stream
      const Seq una = flow_.at(from).map.una();
      static constexpr uint8_t kGarbage[1] = {0};
      if (una == start_[index_of(from)] || phase_ != Phase::established) return;
      in.seq = una - 1;
      in.payload = kGarbage;
      note_window(from, in);
      const Handled h = splice_.relay(flow_, from, in, now_);
      if (h.fate == Fate::in_place) in_place(from, in, h.numbers);
      return;
    }
    default:
      if (phase_ != Phase::established) return;
      in.flags = tcp_flag::rst | (kind & 8 ? tcp_flag::ack : 0);
  }
  deliver(from, in);
}

void Ends::connect() {
  SegmentIn in;
  const uint8_t how = in_.byte();
  in.seq = start_[1] - 1;
  in.ack = start_[0];
  in.flags = tcp_flag::syn | tcp_flag::ack;
  in.window = in_.half();
  if ((how & 1) != 0) in.mss = static_cast<uint16_t>(in_.half() % 9000);
  if ((how & 2) != 0) in.window_scale = in_.byte() % 15;
  in.sack_permitted = (how & 4) != 0;
  if ((how & 8) != 0) in.timestamps = {clock_[1], clock_[0]};
  if ((how & 0x70) == 0x70) in.flags = how & 0x80 ? tcp_flag::rst | tcp_flag::ack : tcp_flag::ack;
  const SegmentOut syn = backend_syn(splice_, flow_, 1460);
  require(syn.seq + 1 == start_[0], "the backend gets the client's own number");
  right_[1] = start_[0] + in.window;
  taken_back_[1] = in.window == 0;
  window_[1] = in.window;
  heard_[1] = clock_[0];
  told_[1] = start_[1] + syn.window;
  told_any_[1] = false;
  phase_ = Phase::established;  // what is held leaves at once
  switch (on_connecting(splice_, flow_, in, now_)) {
    case Connecting::connected:
      break;
    case Connecting::refused:
      phase_ = Phase::connecting;
      answer();
      break;
    default:
      phase_ = Phase::connecting;
  }
}

void Ends::answer() {
  answer_.resize(1 + in_.half() % 700);
  for (size_t i = 0; i < answer_.size(); ++i) answer_[i] = static_cast<uint8_t>(i * 31 + 5);
  Stream& down = stream_[1];
  down.fixed = &answer_;
  down.fin_at = static_cast<uint32_t>(answer_.size());
  down.edits.clear();
  down.sent.add(0, down.fin_at);
  down.fin_sent = true;
  start_[1] = Seq{};
  phase_ = splice_.answer(flow_, answer_, false, now_) ? Phase::answered : Phase::over;
}

void Ends::advance(Duration by) {
  now_ = now_ + by;
  splice_.on_time(flow_, now_);
}

// The client's handshake and its first octets.
bool Ends::open() {
  const Tuple tuple{IpAddress::v4(10, 1, 0, 2), IpAddress::v4(10, 1, 0, 100), be16::from(1025),
                    be16::from(80)};
  const uint8_t how = in_.byte();
  SegmentIn syn;
  syn.seq = start_[0] - 1;
  syn.flags = tcp_flag::syn;
  if ((how & 1) != 0) syn.mss = static_cast<uint16_t>(in_.half());
  if ((how & 2) != 0) syn.window_scale = in_.byte() % 15;
  syn.sack_permitted = (how & 4) != 0;
  if ((how & 8) != 0) syn.timestamps = {clock_[0], 0};
  Listener listener(HashKey{1, 2, 3}, (how & 16) != 0 ? 0 : 64, now_);
  const Hearing h = listener.hear(tuple, syn, syn_ack_, now_);
  require(h.what == Heard::answered && h.answer.ack == start_[0], "a SYN is answered");
  mapped_[0] = start_[0];
  mapped_[1] = h.answer.seq + 1;
  if (h.answer.timestamps) heard_[0] = h.answer.timestamps->value;

  SegmentIn first = blank(Side::client, 2);
  first.timestamps.reset();
  if (h.answer.timestamps) first.timestamps = {clock_[0], heard_[0]};
  const uint32_t length = std::min<uint32_t>(1 + in_.half() % 1460, stream_[0].fin_at);
  Bytes octets(length);
  for (uint32_t i = 0; i < length; ++i) octets[i] = stream_[0].original(i);
  first.payload = octets;
  const Hearing again = listener.hear(tuple, first, syn_ack_, now_);
  require(again.what == Heard::open, "a client that knows our number is heard");
  if (!tcp::start(splice_, flow_, again.offer, syn_ack_, first)) return false;
  right_[0] = mapped_[1];
  told_[0] = start_[0] + syn_ack_.window;
  told_any_[0] = true;
  next_[0] = length;
  deliver(Side::client, first);
  return true;
}

void Ends::act() {
  const uint8_t op = in_.byte();
  const Side side = (op & 8) != 0 ? Side::backend : Side::client;
  lose_ = (op & 16) != 0;
  if ((op & 32) != 0) refusals_ = in_.byte();
  const bool alive = side == Side::client || phase_ == Phase::established;
  switch (op & 7) {
    case 0:
    case 1:
    case 2: {  // octets: the next ones, or some again, or some beyond
      const uint8_t extra = in_.byte();
      uint32_t offset = next_[index_of(side)];
      if ((op & 7) == 1) offset -= std::min<uint32_t>(offset, in_.half() % 4096);
      if ((op & 7) == 2) offset += in_.byte();
      const uint32_t length = (op & 64) != 0 ? in_.half() % 9000 : in_.byte() * 6u;
      if (alive) send(side, offset, length, (op & 128) != 0, extra);
      break;
    }
    case 3: {
      const SegmentIn in = blank(side, in_.byte());
      if (alive) deliver(side, in);
      break;
    }
    case 4:
      advance(1ms * (op & 64 ? in_.half() : in_.byte()));
      break;
    case 5:
      if (phase_ == Phase::connecting) {
        if (op & 64)
          answer();
        else
          connect();
      } else if (phase_ == Phase::established) {
        splice_.again(flow_, side, now_);
      }
      break;
    case 6: {
      if (phase_ != Phase::established) break;
      const StreamMap& map = flow_.at(other(side)).map;
      const uint32_t headers = op & 64 ? 60 : 40;
      const uint32_t mtu = in_.half();
      const auto told = splice_.too_big(flow_, side, map.ack() + in_.half() % 3000, mtu, headers);
      if (told)
        require(told->seq - start_[index_of(other(side))] <=
                    static_cast<int32_t>(stream(other(side)).fin_at + 1),
                "an error names what was sent");
      break;
    }
    case 7: {
      const uint8_t kind = in_.byte();
      if (alive) odd_segment(side, kind);
      break;
    }
  }
}

void Ends::run() {
  const uint8_t how = in_.byte();
  blind_ = (how & 1) != 0;
  syn_ack_.window = static_cast<uint16_t>(std::max<unsigned>(in_.half(), 1));
  syn_ack_.window_scale = in_.byte() % 15;
  syn_ack_.mss = 1460;
  memory_left_ = 1024 + in_.half();
  start_[0] = Seq{static_cast<uint32_t>(in_.half()) << 16 | 0xff00};
  start_[1] = Seq{static_cast<uint32_t>(in_.half()) << 16 | 0xfff0};
  window_[0] = 65535;
  stream_[0].salt = 17;
  stream_[1].salt = 90001;
  stream_[0].fin_at = 1 + in_.half();
  stream_[1].fin_at = in_.half();
  heads_[0] = plan(stream_[0].fin_at);
  heads_[1] = plan(stream_[1].fin_at);
  if (open())
    while (!in_.empty() && phase_ != Phase::over) act();
  splice_.end(flow_);
  require(edits_.live() == 0 && edits_.bytes_used() == 0, "edits come back");
  require(memory_.empty() && !binding_used_, "holds and work come back");
}

}  // namespace
}  // namespace limpet::tcp::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::tcp::fuzz::Input in(data, size);
  limpet::tcp::fuzz::Ends ends(in);
  ends.run();
  return 0;
}
