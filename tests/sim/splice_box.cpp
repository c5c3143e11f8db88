#include "splice_box.h"

#include <algorithm>

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;
using tcp::index_of;
using tcp::Seq;
using tcp::Side;

constexpr MacAddress kClientMac{{2, 1, 10, 1, 0, 1}};
constexpr MacAddress kServerMac{{2, 1, 10, 2, 0, 1}};

tcp::SegmentIn in_of(const Segment& s) {
  tcp::SegmentIn in;
  in.seq = Seq{s.seq};
  in.ack = Seq{s.ack};
  in.flags = s.flags;
  in.window = s.window;
  if (s.options.timestamps)
    in.timestamps = {s.options.timestamps->value, s.options.timestamps->echo};
  in.sack.count = s.options.sacks;
  for (unsigned i = 0; i < s.options.sacks; ++i)
    in.sack.block[i] = {s.options.sack[i].left, s.options.sack[i].right};
  in.payload = s.data;
  in.options = static_cast<uint8_t>(s.option_bytes);
  in.mss = s.options.mss;
  in.window_scale = s.options.scale;
  in.sack_permitted = s.options.sack_permitted;
  return in;
}

}  // namespace

EditPlan EditPlan::draw(Random& r, uint32_t first, uint32_t total) {
  EditPlan plan;
  const uint64_t heads = r.between(1, 6);
  uint32_t at = 0;
  for (uint64_t i = 0; i < heads; ++i) {
    Head h;
    h.begin = at;
    const auto most =
        static_cast<uint32_t>(r.pick<uint64_t>({30, 200, 700, i == 0 ? first : uint64_t{6000}}));
    h.end = at + static_cast<uint32_t>(r.between(8, std::max<uint32_t>(most, 9)));
    if (h.end + 10 > total) break;
    for (uint32_t x = h.begin + static_cast<uint32_t>(r.below(20)); x + 2 < h.end;) {
      Edit e;
      e.at = x;
      if (r.chance(50))
        // Sometimes whole segments, which then say nothing to their receiver.
        e.removed = static_cast<uint32_t>(
            r.between(1, std::min<uint64_t>(r.pick<uint64_t>({120, 3000}), h.end - 2 - x + 1)));
      if (x + e.removed >= h.end) break;
      if (e.removed == 0 || r.chance(50)) {
        e.text.resize(r.pick<size_t>({1, 20, 150, 400}));
        for (uint8_t& b : e.text) b = static_cast<uint8_t>(r.next());
      }
      x += e.removed + 1 + static_cast<uint32_t>(r.below(h.end - h.begin + 30));
      h.edits.push_back(std::move(e));
    }
    at = h.end + static_cast<uint32_t>(r.pick<uint64_t>({0, 0, r.below(500), r.below(8000)}));
    plan.heads.push_back(std::move(h));
  }
  return plan;
}

Bytes EditPlan::apply(uint64_t stream, size_t total) const {
  Bytes original(total), edited;
  fill_stream(stream, 0, original);
  size_t x = 0;
  for (const Head& h : heads)
    for (const Edit& e : h.edits) {
      edited.insert(edited.end(), original.begin() + static_cast<ptrdiff_t>(x),
                    original.begin() + static_cast<ptrdiff_t>(e.at));
      edited.insert(edited.end(), e.text.begin(), e.text.end());
      x = e.at + e.removed;
    }
  edited.insert(edited.end(), original.begin() + static_cast<ptrdiff_t>(x), original.end());
  return edited;
}

SpliceBox::SpliceBox(const Scenario& scenario, EditPlan up, EditPlan down)
    : scenario_(scenario),
      copies_(size_t{1} << (scenario.seed % 4 == 0 ? 14 : 20)),  // sometimes hardly any
      splice_(edits_, copies_, *this, *this, *this),
      plan_{std::move(up), std::move(down)},
      client_(client_address(scenario.v6)),
      server_(server_address(scenario.v6)),
      server_port_(kServerPort) {
  Random r(scenario.seed ^ 0x626f78);
  // Sometimes more than the server will accept, as when the pool's backends differ.
  syn_ack_.mss = r.pick<uint16_t>({1460, 1440, 8960, 536});
  if (scenario.v6 && syn_ack_.mss == 1460) syn_ack_.mss = 1440;
  syn_ack_.window_scale = static_cast<uint8_t>(r.below(9));
  syn_ack_.window = r.pick<uint16_t>({7000, 16384, 65535});
  for (uint16_t& mtu : port_mtu) mtu = r.pick<uint16_t>({1280, 1400, 1500, 9000});
  listener_.emplace(HashKey{1, 2, 3, static_cast<uint8_t>(scenario.seed)}, r.chance(70) ? 64 : 0,
                    Instant{});
}

SpliceBox::~SpliceBox() {
  splice_.end(flow_);
}

std::string SpliceBox::leaks() {
  splice_.end(flow_);
  std::string text = watch_.violation() + larger_;
  if (copies_.bytes_used() != 0) text += std::to_string(copies_.bytes_used()) + " of copies left; ";
  if (edits_.live() != 0) text += std::to_string(edits_.live()) + " edits left; ";
  if (!memory_.empty()) text += std::to_string(memory_.size()) + " holds left; ";
  if (work_used_) text += "work left; ";
  if (strangers != 0) text += std::to_string(strangers) + " segments would have been reset; ";
  return text;
}

uint32_t SpliceBox::judged() const {
  if (phase_ == Phase::none) return 0;
  const tcp::StreamMap& up = flow_.at(Side::client).map;
  return up.is_open() ? ~uint32_t{0}
                      : static_cast<uint32_t>(up.frontier() - start_[index_of(Side::client)]);
}

std::span<uint8_t> SpliceBox::take(uint32_t size) {
  memory_.push_back(std::make_unique<uint8_t[]>(size));
  return {memory_.back().get(), size};
}

void SpliceBox::give(std::span<uint8_t> memory) {
  std::erase_if(memory_, [&](const auto& m) { return m.get() == memory.data(); });
}

uint32_t SpliceBox::take_binding(tcp::SpliceFlow&) {
  work_used_ = true;
  return 0;
}
void SpliceBox::give_binding(uint32_t) {
  work_used_ = false;
}

Segment SpliceBox::towards(Side to) const {
  Segment s;
  const bool client = to == Side::client;
  s.from_mac = client ? kServerMac : kClientMac;
  s.to_mac = client ? kClientMac : kServerMac;
  s.from = client ? server_ : client_;
  s.to = client ? client_ : server_;
  s.from_port = client ? server_port_ : client_port_;
  s.to_port = client ? client_port_ : server_port_;
  return s;
}

void SpliceBox::emit(tcp::SpliceFlow&, Side to, const tcp::SegmentOut& o) {
  Segment s = towards(to);
  s.seq = o.seq.value;
  s.ack = (o.flags & kAck) != 0 ? o.ack.value : 0;
  s.flags = o.flags;
  s.window = o.window;
  s.df = !o.split;
  s.options.mss = o.mss;
  s.options.scale = o.window_scale;
  s.options.sack_permitted = o.sack_permitted;
  if (o.timestamps) s.options.timestamps = {o.timestamps->value, o.timestamps->echo};
  s.options.sacks = static_cast<uint8_t>(std::min(o.sack.count, o.timestamps ? 3u : 4u));
  for (unsigned i = 0; i < s.options.sacks; ++i)
    s.options.sack[i] = {o.sack.block[i].left, o.sack.block[i].right};
  Bytes data;
  for (unsigned i = 0; i < o.piece_count; ++i)
    data.insert(data.end(), o.pieces[i].begin(), o.pieces[i].end());
  s.data = data;
  Frame f;
  f.port = to == Side::client ? 0 : 1;
  f.bytes = sim::emit(s);
  out_.push_back(std::move(f));
}

tcp::Shown SpliceBox::show(tcp::SpliceFlow& flow, Side from, std::span<const uint8_t> bytes,
                           bool fin) {
  const size_t d = index_of(from);
  const EditPlan& plan = plan_[d];
  tcp::StreamMap& map = flow.ends[d].map;
  const auto at = static_cast<uint32_t>(map.frontier() - start_[d]);
  const auto end = at + static_cast<uint32_t>(bytes.size());
  uint32_t final = 0;
  while (head_[d] < plan.heads.size()) {
    const EditPlan::Head& h = plan.heads[head_[d]];
    if (end < h.end) {  // not complete
      if (h.begin > at) final = std::max(final, std::min(h.begin, end) - at);
      return {final, fin};  // behind a FIN nothing comes that could be edited
    }
    for (const EditPlan::Edit& e : h.edits)
      if (map.append(edits_, start_[d] + e.at, e.removed, e.text)) ++edits_made;
    ++head_[d];
    final = h.end - at;
  }
  return {static_cast<uint32_t>(bytes.size()), true};
}

void SpliceBox::send_syn(Instant now) {
  if (syn_at_.ns != 0) ++syns_again;
  const uint32_t mss = std::min(most(flow_, Side::client), most(flow_, Side::backend));
  // Sometimes the port towards the client is not known yet.
  const uint32_t said = scenario_.seed % 4 == 0 ? most(flow_, Side::backend) : mss;
  emit(flow_, Side::backend, tcp::backend_syn(splice_, flow_, static_cast<uint16_t>(said)));
  syn_at_ = now + syn_wait_;
  syn_wait_ = std::min<Duration>(syn_wait_ * 2, 5s);
}

void SpliceBox::no_flow(const Segment& s, const tcp::SegmentIn& in, Instant now) {
  const tcp::Tuple tuple{client_, server_, be16::from(s.from_port), be16::from(s.to_port)};
  client_port_ = s.from_port;
  const tcp::Hearing h = listener_->hear(tuple, in, syn_ack_, now);
  early += h.what == tcp::Heard::early ? 1 : 0;
  strangers += h.what == tcp::Heard::stranger || h.what == tcp::Heard::stale ? 1 : 0;
  if (h.what == tcp::Heard::answered) return emit(flow_, Side::client, h.answer);
  if (h.what != tcp::Heard::open) return;
  start_[index_of(Side::client)] = in.seq;
  if (!tcp::start(splice_, flow_, h.offer, syn_ack_, in)) return;
  listener_->opened(h);
  phase_ = Phase::head;
}

void SpliceBox::tcp_segment(Side from, Segment& s, const Bytes& frame, Instant now) {
  const tcp::SegmentIn in = in_of(s);
  if (from == Side::client) {
    if (phase_ == Phase::none) no_flow(s, in, now);
    if (phase_ == Phase::none) return;
    if (s.only(kSyn | kAck, kSyn)) return;  // an old one: the flow is not touched
    if (phase_ != Phase::established) {
      if ((s.flags & kRst) == 0 && splice_.collect(flow_, in, now)) {
        phase_ = Phase::connecting;
        send_syn(now);
      }
      return;
    }
  } else if (phase_ == Phase::connecting) {
    start_[index_of(Side::backend)] = in.seq + 1;
    if (tcp::on_connecting(splice_, flow_, in, now) == tcp::Connecting::connected) {
      phase_ = Phase::established;
      syn_at_ = {};
    }
    return;
  } else if (phase_ != Phase::established) {
    return;
  }
  const tcp::Handled h = splice_.relay(flow_, from, in, now);
  if (h.fate != tcp::Fate::in_place) return;
  const Side to = tcp::other(from);
  if (frame.size() > kEthernet + port_mtu[index_of(to)]) {
    const uint32_t mtu = splice_.mtu_for(flow_, from, port_mtu[index_of(to)], scenario_.v6);
    ++told_too_big;
    out_.push_back({static_cast<uint16_t>(from == Side::client ? 0 : 1),
                    emit_too_big(frame, s.to, static_cast<uint16_t>(mtu))});
    return;
  }
  ++in_place;
  const Segment t = towards(to);
  s.from_mac = t.from_mac, s.to_mac = t.to_mac;
  s.seq = h.numbers.seq;
  if (s.has(kAck)) s.ack = h.numbers.ack;
  s.window = h.numbers.window;
  if (s.options.timestamps) {
    s.options.timestamps->value += h.numbers.tsval_shift;
    if (s.has(kAck)) s.options.timestamps->echo += h.numbers.tsecr_shift;
  }
  s.options.sacks = static_cast<uint8_t>(h.numbers.sack.count);
  for (unsigned i = 0; i < h.numbers.sack.count; ++i)
    s.options.sack[i] = {h.numbers.sack.block[i].left, h.numbers.sack.block[i].right};
  Frame f;
  f.port = to == Side::client ? 0 : 1;
  f.bytes = sim::emit(s);
  out_.push_back(std::move(f));
}

void SpliceBox::too_big(Side to, const TooBig& t) {
  if (phase_ != Phase::established) return;
  const auto told = splice_.too_big(flow_, to, Seq{t.seq}, t.mtu, headers());
  if (!told) return;
  Segment quoted = towards(to);  // as its sender sent it
  std::swap(quoted.from_mac, quoted.to_mac);
  quoted.from_mac = to == Side::client ? kServerMac : kClientMac;
  quoted.seq = told->seq.value;
  Frame f;
  f.port = to == Side::client ? 1 : 0;
  f.bytes = emit_too_big(sim::emit(quoted), to == Side::client ? client_ : server_,
                         static_cast<uint16_t>(told->mtu));
  out_.push_back(std::move(f));
}

std::vector<Frame> SpliceBox::on_frame(uint16_t port, Bytes bytes, Instant now) {
  Packet p = parse(bytes);
  const Side from = port == 0 ? Side::client : Side::backend;
  if (p.kind == Packet::Kind::tcp) {
    watch_.came_in(port, p.tcp);
    tcp_segment(from, p.tcp, bytes, now);
  }
  if (p.kind == Packet::Kind::too_big) too_big(from, p.too_big);
  return leave();
}

std::vector<Frame> SpliceBox::leave() {
  for (const Frame& f : out_) {
    if (const Packet p = parse(f.bytes); p.kind == Packet::Kind::tcp)
      watch_.went_out(f.port, p.tcp);
    if (f.bytes.size() > kEthernet + port_mtu[f.port])
      larger_ = "a frame of " + std::to_string(f.bytes.size()) + " does not fit its port; ";
  }
  return std::exchange(out_, {});
}

std::optional<Instant> SpliceBox::next_timer() const {
  Instant next{};
  const auto earlier = [&next](Instant at) {
    if (at.ns != 0 && (next.ns == 0 || at < next)) next = at;
  };
  if (phase_ == Phase::connecting) earlier(syn_at_);
  if (work_used_)
    for (const size_t s : {0u, 1u}) {
      earlier(binding_.streams[s].own_at);
      earlier(binding_.streams[s].resend_at);
    }
  return next.ns == 0 ? std::nullopt : std::optional(next);
}

std::vector<Frame> SpliceBox::on_timer(Instant now) {
  if (phase_ == Phase::connecting && syn_at_ <= now) send_syn(now);
  splice_.on_time(flow_, now);
  return leave();
}

}  // namespace limpet::sim
