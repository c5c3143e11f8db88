#include "splice_rig.h"

#include <algorithm>

#include "exchange_stream.h"
#include "limpet/http/body.h"
#include "limpet/wire/frame.h"

namespace limpet::oracle {
namespace {

using affinity::CookieMode;
using dataplane::exchange_test::cookie;
using dataplane::exchange_test::rules_of;
using tcp::index_of;
using tcp::Seq;
using tcp::Side;
using wire::tcp_flag;

constexpr size_t kClient = index_of(Side::client), kBackend = index_of(Side::backend);
constexpr uint32_t kWindow = 60000;  // of the backend, and of the client

// Compiled once: that takes longer than a connection.
struct Services {
  std::vector<dataplane::HttpRules> rules;
  dataplane::ExchangeTools tools;
  Services() {
    rules.push_back(rules_of({}, Forwarded::x_forwarded_for));
    rules.push_back(rules_of({cookie(CookieMode::insert)}));
    rules.push_back(rules_of({cookie(CookieMode::insert)}, Forwarded::x_forwarded_for));
    rules.push_back(rules_of({cookie(CookieMode::insert)}, Forwarded::proxy_v1));
    rules.push_back(rules_of({cookie(CookieMode::learn, "J")}, Forwarded::x_forwarded_for));
    for (const dataplane::HttpRules& r : rules)
      for (const auto* s : {&r.request, &r.response})
        if (*s) (void)tools.scratch.fit(**s);
    tools.crypter.emplace(affinity::CookieKeys::first({1, 2, 3}));
  }
  static Services& get() {
    static Services all;
    return all;
  }
};

std::span<const uint8_t> octets_of(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

}  // namespace

SpliceRig::SpliceRig(Service service, bool timestamps, const Memory& memory)
    : service_(service),
      timestamps_(timestamps),
      rules_(Services::get().rules[static_cast<size_t>(service)]),
      copies_(memory.copies),
      listener_(HashKey{1, 2, 3}, 64, {}),
      memory_left_(memory.holds),
      counters_(affinity::kMaxEntries) {
  syn_ack_.window = 16384;
  backends_.resize(3);
  for (uint16_t m = 0; m < 3; ++m) {
    backends_[m].configured = true;
    backends_[m].pool = 0;
    backends_[m].member = m;
  }
  table_ = std::make_unique<affinity::StickTable>(
      affinity::StickTable::Settings{.capacity = 8, .expire = std::chrono::minutes(1)}, HashKey{});
  start_[kClient] = Seq{0xfffffff0u};  // wraps soon
  start_[kBackend] = Seq{5000};
}

SpliceRig::~SpliceRig() {
  splice_.end(flow_);
}

dataplane::ExchangeContext SpliceRig::context() {
  return {.rules = rules_,
          .ids = ids_,
          .pool = 0,
          .members = members_,
          .backends = backends_,
          .status = status_,
          .tools = &Services::get().tools,
          .table = table_.get(),
          .counters = counters_,
          .worker = worker_,
          .service = service_counters_,
          .edits = edits_,
          .client = IpAddress::v4(192, 0, 2, 7),
          .vip = IpAddress::v4(198, 51, 100, 1),
          .client_port = be16::from(40000),
          .vip_port = be16::from(80),
          .member = member_,
          .now = now_,
          .unix_now = 1700000000};
}

std::span<uint8_t> SpliceRig::take(uint32_t size) {
  if (size > memory_left_) return {};
  memory_left_ -= size;
  memory_.push_back({std::make_unique<uint8_t[]>(size), size});
  return {memory_.back().octets.get(), size};
}
void SpliceRig::give(std::span<uint8_t> memory) {
  std::erase_if(memory_, [&](const Taken& m) { return m.octets.get() == memory.data(); });
  memory_left_ += memory.size();
}
uint32_t SpliceRig::take_binding(tcp::SpliceFlow&) {
  work_used_ = true;
  return 0;
}
void SpliceRig::give_binding(uint32_t) {
  work_used_ = false;
}

tcp::Shown SpliceRig::show(tcp::SpliceFlow& flow, Side from, std::span<const uint8_t> bytes,
                           bool fin) {
  tcp::StreamMap& map = flow.at(from).map;
  if (from == Side::backend)
    return dataplane::show_responses(exchange_, map, bytes, fin, context());
  const auto at = static_cast<uint32_t>(map.frontier() - start_[kClient]);
  const tcp::Shown shown = dataplane::show_requests(exchange_, map, bytes, fin, context());
  if (at != judged_.octets.size()) wrong_ = "octets are shown out of order; ";
  const size_t seen = std::min<size_t>(shown.final, bytes.size());
  judged_.octets.append(reinterpret_cast<const char*>(bytes.data()), seen);
  judged_.octets.append(shown.final - seen, '.');  // data of a body
  open_ = open_ || shown.open;
  return shown;
}

void SpliceRig::emit(tcp::SpliceFlow&, Side to, const tcp::SegmentOut& o) {
  std::string octets;
  for (unsigned i = 0; i < o.piece_count; ++i)
    octets.append(reinterpret_cast<const char*>(o.pieces[i].data()), o.pieces[i].size());
  if (to == Side::client) {
    if (o.timestamps) heard_[kClient] = o.timestamps->value;
    if (!octets.empty() && o.seq == client_next_)
      client_next_ = o.seq + static_cast<uint32_t>(octets.size());
    return;
  }
  if (o.timestamps) heard_[kBackend] = o.timestamps->value;
  if (lost_) return;
  arrive(o.seq, octets_of(octets),
         o.timestamps ? std::optional(o.timestamps->value) : std::nullopt);
}

// RFC 7323, 5.3, and the first copy stands.
void SpliceRig::arrive(Seq seq, std::span<const uint8_t> octets, std::optional<uint32_t> tsval) {
  const int32_t at = seq - start_[kClient];  // the backend sees the client's own number
  if (tsval && flow_.timestamps[kBackend]) {
    if (static_cast<int32_t>(*tsval - ts_recent_) < 0) {
      ++discarded_;
      return;
    }
    if (at <= static_cast<int32_t>(last_ack_)) ts_recent_ = *tsval;
  }
  const uint32_t edge = last_ack_ + kWindow;
  for (size_t i = 0; i < octets.size(); ++i) {
    const int64_t position = int64_t{at} + static_cast<int64_t>(i);
    if (position < static_cast<int64_t>(got_.size()) || position >= edge) continue;
    beyond_.emplace(static_cast<uint32_t>(position), static_cast<char>(octets[i]));
  }
  for (auto next = beyond_.begin();
       next != beyond_.end() && next->first == static_cast<uint32_t>(got_.size());
       next = beyond_.erase(next))
    got_ += next->second;
}

tcp::SegmentIn SpliceRig::blank(Side from, int32_t later) {
  const size_t s = index_of(from);
  tcp::SegmentIn in;
  in.flags = tcp_flag::ack;
  in.window = kWindow;
  if (timestamps_) in.timestamps = {clock_[s] + static_cast<uint32_t>(later), heard_[s]};
  if (from == Side::client) {
    in.ack = client_next_;
  } else {
    in.seq = start_[kBackend] + answered_;
    in.ack = start_[kClient] + static_cast<uint32_t>(got_.size());
  }
  return in;
}

void SpliceRig::open(const tcp::SegmentIn& first) {
  const tcp::Tuple tuple{IpAddress::v4(192, 0, 2, 7), IpAddress::v4(198, 51, 100, 1),
                         be16::from(40000), be16::from(80)};
  tcp::SegmentIn syn;
  syn.seq = start_[kClient] - 1;
  syn.flags = tcp_flag::syn;
  syn.mss = uint16_t{1460};
  syn.sack_permitted = true;
  if (timestamps_) syn.timestamps = {clock_[kClient], 0};
  const tcp::Hearing heard = listener_.hear(tuple, syn, syn_ack_, now_);
  client_next_ = heard.answer.seq + 1;
  if (heard.answer.timestamps) heard_[kClient] = heard.answer.timestamps->value;
  tcp::SegmentIn in = first;
  in.ack = client_next_;
  if (timestamps_) in.timestamps->echo = heard_[kClient];
  const tcp::Hearing again = listener_.hear(tuple, in, syn_ack_, now_);
  if (again.what != tcp::Heard::open || !tcp::start(splice_, flow_, again.offer, syn_ack_, in))
    return;
  listener_.opened(again);
  phase_ = Phase::head;
  from_client(in);
}

void SpliceRig::say(uint32_t offset, std::string_view octets, const Said& how) {
  if (phase_ == Phase::over) return;
  now_ = now_ + std::chrono::milliseconds(1);
  ++clock_[kClient];
  for (size_t i = 0; i < octets.size(); ++i)
    first_.emplace(offset + static_cast<uint32_t>(i), octets[i]);
  end_ = std::max(end_, offset + static_cast<uint32_t>(octets.size()));
  tcp::SegmentIn in = blank(Side::client, how.later);
  in.seq = start_[kClient] + offset;
  const auto copy = std::make_unique<uint8_t[]>(octets.size());  // its end is watched
  std::copy(octets.begin(), octets.end(), copy.get());
  in.payload = {copy.get(), octets.size()};
  in.flags |= tcp_flag::psh;
  lost_ = how.lost;
  if (phase_ == Phase::none) {
    if (offset == 0 && !octets.empty() && how.later == 0) open(in);
  } else {
    from_client(in);
  }
  lost_ = false;
}

std::string SpliceRig::said(uint32_t offset, uint32_t length) const {
  std::string text(length, '.');
  for (auto i = first_.lower_bound(offset); i != first_.end() && i->first < offset + length; ++i)
    text[i->first - offset] = i->second;
  return text;
}

void SpliceRig::from_client(const tcp::SegmentIn& in) {
  if (phase_ == Phase::head || phase_ == Phase::connecting) {
    if (splice_.collect(flow_, in, now_)) phase_ = Phase::connecting;
    if (exchange_.refused != http::Refusal::none || exchange_.broken) phase_ = Phase::over;
    return;
  }
  const tcp::Handled h = splice_.relay(flow_, Side::client, in, now_);
  if (h.fate == tcp::Fate::in_place && !lost_) {
    if (in.timestamps) heard_[kBackend] = in.timestamps->value;
    arrive(Seq{h.numbers.seq}, in.payload,
           in.timestamps ? std::optional(in.timestamps->value) : std::nullopt);
  }
  follow_up();
}

// As the worker does after each look.
void SpliceRig::follow_up() {
  // Before what waited for the answer is shown: that may look like a request and is none any more.
  if (exchange_.up == dataplane::Exchange::Up::tunnel && !switches_) {
    note_bounds();
    switches_ = judged_.messages.empty() ? 0 : judged_.messages.size() - 1;
  }
  for (unsigned turns = 0; exchange_.call_up && turns < dataplane::Exchange::kMaxAsked; ++turns) {
    exchange_.call_up = false;
    splice_.again(flow_, Side::client, now_);
  }
  if (exchange_.broken) phase_ = Phase::over;
  if (exchange_.idle()) {
    exchange_ = dataplane::Exchange{};
    exchange_.first = dataplane::Exchange::First::answered;
  }
}

void SpliceRig::connect() {
  if (phase_ != Phase::connecting) return;
  member_ = 1;
  const tcp::SegmentOut syn = tcp::backend_syn(splice_, flow_, 1460);
  if (syn.timestamps) ts_recent_ = syn.timestamps->value;
  tcp::SegmentIn in;
  in.seq = start_[kBackend] - 1;
  in.ack = start_[kClient];
  in.flags = tcp_flag::syn | tcp_flag::ack;
  in.window = kWindow;
  in.mss = uint16_t{1460};
  in.sack_permitted = true;
  if (timestamps_) in.timestamps = {clock_[kBackend], syn.timestamps ? syn.timestamps->value : 0};
  flow_.timestamps[kBackend] = timestamps_;  // what is held leaves at once
  phase_ = Phase::established;
  if (tcp::on_connecting(splice_, flow_, in, now_) != tcp::Connecting::connected)
    wrong_ = "no connection; ";
  follow_up();
}

void SpliceRig::from_backend(std::span<const uint8_t> octets) {
  connect();
  if (phase_ != Phase::established) return;
  now_ = now_ + std::chrono::milliseconds(1);
  ++clock_[kBackend];
  tcp::SegmentIn in = blank(Side::backend, 0);
  in.payload = octets;
  last_ack_ = static_cast<uint32_t>(got_.size());
  answered_ += static_cast<uint32_t>(octets.size());
  const tcp::Handled h = splice_.relay(flow_, Side::backend, in, now_);
  if (h.fate == tcp::Fate::in_place) {
    if (in.timestamps) heard_[kClient] = in.timestamps->value + h.numbers.tsval_shift;
    if (!octets.empty() && Seq{h.numbers.seq} == client_next_)
      client_next_ = client_next_ + static_cast<uint32_t>(octets.size());
  }
  follow_up();
}

void SpliceRig::acknowledge() {
  from_backend({});
}

// A backend answers requests only, each once, as it reads them.
void SpliceRig::answer(std::string_view octets) {
  connect();
  const size_t skipped = std::min(got_.size(), promises().preamble.size());
  const Requests asked = read(std::string_view(got_).substr(skipped), kLenient);
  if (asked.messages.size() <= answers_ || switches_) return;
  ++answers_;
  from_backend(octets_of(octets));
}

void SpliceRig::pass(Duration time) {
  now_ = now_ + time;
  for (uint32_t& c : clock_) c += static_cast<uint32_t>(time / std::chrono::milliseconds(1));
  if (phase_ == Phase::none || phase_ == Phase::over) return;
  splice_.on_time(flow_, now_);
  follow_up();
}

void SpliceRig::repair() {
  if (phase_ == Phase::none) return;
  connect();
  for (unsigned round = 0; round < 100 && phase_ == Phase::established; ++round) {
    acknowledge();
    const auto at = static_cast<uint32_t>(flow_.ends[kClient].map.una() - start_[kClient]);
    if (at >= due()) return;
    for (uint32_t n = at; n < end_ && n < at + 4000; n += 1000)
      say(n, said(n, std::min<uint32_t>(1000, end_ - n)));
    pass(std::chrono::milliseconds(250));
  }
}

// By the product's own framers, which have tests and fuzzers of their own.
void SpliceRig::note_bounds() {
  judged_.messages.clear();
  std::string_view rest = judged_.octets;
  size_t at = 0;
  while (!rest.empty()) {
    http::RequestFramer framer;
    http::RequestHead head;
    if (framer.feed(octets_of(rest), head) != http::Fed::complete) return;
    const bool tunnel = head.framing.body == http::Body::tunnel;
    http::BodySkipper body(tunnel ? http::Framing{} : head.framing, http::Side::request);
    rest.remove_prefix(head.bounds.end);
    const size_t n = body.skip(octets_of(rest));
    rest.remove_prefix(n);
    judged_.messages.push_back({at + head.bounds.end, at + head.bounds.end + n, body.finished()});
    at += head.bounds.end + n;
    if (!body.finished()) return;
  }
}

Promises SpliceRig::promises() const {
  Promises p;
  p.no_h2c = true;
  const bool ours = service_ != Service::forwarded && service_ != Service::learn_forwarded;
  if (ours) p.cookies = {"SRV"};
  if (rules_.settings.forwarded == Forwarded::x_forwarded_for) p.forwarded = "192.0.2.7";
  if (rules_.settings.forwarded == Forwarded::proxy_v1)
    p.preamble = "PROXY TCP4 192.0.2.7 198.51.100.1 40000 80\r\n";
  return p;
}

std::string SpliceRig::complaint() {
  if (!wrong_.empty()) return wrong_;
  if (!switches_) note_bounds();
  const bool all =
      phase_ == Phase::established && flow_.ends[kClient].map.una() - start_[kClient] >=
                                          static_cast<int32_t>(judged_.octets.size());
  std::string text =
      oracle::complaint(judged_, {.octets = got_, .all = all, .switches = switches_}, promises());
  if (text.empty() && switches_) {
    const Requests asked = read(judged_.octets, kLenient);
    const Message& last = asked.messages.at(*switches_);
    if (last.all("upgrade").empty() && last.method != "CONNECT")
      text = "nobody asked for what is no HTTP any more";
  }
  splice_.end(flow_);
  if (text.empty() && edits_.live() != 0) text = "edits are left";
  if (text.empty() && copies_.bytes_used() != 0) text = "copies are left";
  if (text.empty() && (!memory_.empty() || work_used_)) text = "holds are left";
  return text;
}

// What is known to be a body is judged before it is said.
uint32_t SpliceRig::due() const {
  return std::min(end_, static_cast<uint32_t>(judged_.octets.size()));
}

bool SpliceRig::arrived() const {
  return phase_ != Phase::established ||
         flow_.ends[kClient].map.una() - start_[kClient] >= static_cast<int32_t>(due());
}

}  // namespace limpet::oracle
