#include "rig.h"

#include <fmt/core.h>
#include <rte_errno.h>
#include <rte_mbuf.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <cstring>

#include "limpet/config/load.h"

namespace limpet::worker_test {

using dataplane::Worker;
using dataplane::WorkerCounters;

const char* const kTwoArms = R"(
ports = (
  { name = "front"; device = "net_ring0"; addresses = [ "10.1.0.254/24", "fd00:1::254/64" ]; },
  { name = "back"; device = "net_ring1"; addresses = [ "10.2.0.254/24", "fd00:2::254/64" ]; }
);
routes = ( { to = "0.0.0.0/0"; via = "10.1.0.1"; }, { to = "::/0"; via = "fd00:1::1"; } );
pools = (
  { name = "web"; maglev_size = 251; source_ports = [ 1024, 65535 ];
    backends = ( { name = "s0"; address = "10.2.0.10"; port = 8080; },
                 { name = "s1"; address = "10.2.0.11"; port = 8080; },
                 { name = "s2"; address = "10.2.0.12"; port = 8080; },
                 { name = "s3"; address = "10.2.0.13"; port = 8080; } ); },
  { name = "web6"; maglev_size = 251;
    backends = ( { name = "s0"; address = "fd00:2::10"; port = 8080; },
                 { name = "s1"; address = "fd00:2::11"; port = 8080; } ); },
  { name = "echo"; maglev_size = 251; health = { type = "none"; };
    backends = ( { name = "e0"; address = "10.2.0.10"; port = 7; },
                 { name = "e1"; address = "10.2.0.11"; port = 7; } ); },
  { name = "echo6"; maglev_size = 251; health = { type = "none"; };
    backends = ( { name = "e0"; address = "fd00:2::10"; port = 7; } ); }
);
services = (
  { name = "web"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } );
    timeouts = { connect = "5s"; idle = "60s"; half_closed = "20s"; time_wait = "2s"; }; },
  { name = "web6"; vip = "fd00:1::100"; port = 80; protocol = "tcp"; pool = "web6";
    persistence = ( { type = "source"; } );
    timeouts = { connect = "5s"; idle = "60s"; half_closed = "20s"; time_wait = "2s"; }; },
  { name = "echo"; vip = "10.1.0.100"; port = 7; protocol = "udp"; pool = "echo";
    persistence = ( { type = "source"; } ); timeouts = { idle = "10s"; }; },
  { name = "echo6"; vip = "fd00:1::100"; port = 7; protocol = "udp"; pool = "echo6";
    timeouts = { idle = "10s"; }; }
);
)";

const char* const kOneArm = R"(
ports = ( { name = "arm"; device = "net_ring0"; addresses = [ "10.1.0.254/24", "fd00:1::254/64" ]; } );
routes = ( { to = "0.0.0.0/0"; via = "10.1.0.1"; }, { to = "::/0"; via = "fd00:1::1"; } );
pools = (
  { name = "web"; maglev_size = 251;
    backends = ( { name = "s0"; address = "10.1.0.10"; port = 8080; },
                 { name = "s1"; address = "10.1.0.11"; port = 8080; } ); }
);
services = (
  { name = "web"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } ); }
);
)";

std::string with(std::string text, const std::string& from, const std::string& to) {
  size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  for (; at != std::string::npos; at = text.find(from, at + to.size()))
    text.replace(at, from.size(), to);
  return text;
}

namespace {

config::Document load(const std::string& text) {
  config::Loaded loaded = config::load_text(text, "rig");
  for (const config::Problem& p : loaded.problems) ADD_FAILURE() << p.to_string();
  return loaded.document;
}

bool is_question(const Bytes& frame) {
  const Seen s = look(frame);
  if (s.type == kArp) return get16(frame, 20) == 1;
  return s.protocol == kIcmp6 && s.icmp_type == 135;
}

bool is_announcement(const Bytes& frame) {
  const Seen s = look(frame);
  if (s.type == kArp) return get16(frame, 20) == 1 && s.from == s.to;
  return s.protocol == kIcmp6 && s.icmp_type == 136 && s.to.is_multicast() &&
         (frame[s.l4 + 4] & 0x40) == 0;
}

}  // namespace

class Rig::Capture : public dataplane::Output {
 public:
  Capture(Rig& rig, unsigned worker) : rig_(rig), worker_(worker) {}
  uint16_t transmit(uint16_t port, rte_mbuf** frames, uint16_t count) override {
    const uint16_t n = rig_.accept ? std::min(count, rig_.accept(port, count)) : count;
    for (uint16_t i = 0; i < n; ++i) {
      Bytes bytes(rte_pktmbuf_pkt_len(frames[i]));
      const void* data =
          rte_pktmbuf_read(frames[i], 0, static_cast<uint32_t>(bytes.size()), bytes.data());
      if (data != bytes.data()) std::memcpy(bytes.data(), data, bytes.size());
      // What reception noted must not become an order to the port.
      EXPECT_EQ(frames[i]->ol_flags, 0u) << describe(bytes);
      rte_pktmbuf_free(frames[i]);
      rig_.sent(worker_, port, std::move(bytes));
    }
    return n;
  }

 private:
  Rig& rig_;
  unsigned worker_;
};

Rig::Rig(Setup setup)
    : now(setup.start),
      random(setup.seed),
      setup_(std::move(setup)),
      document_(load(setup_.config)) {
  static unsigned serial = 0;
  const std::string name = fmt::format("rig{}", ++serial);
  pool_ = rte_pktmbuf_pool_create(name.c_str(), setup_.mbufs, 0, 0,
                                  static_cast<uint16_t>(setup_.data_room + RTE_PKTMBUF_HEADROOM),
                                  SOCKET_ID_ANY);
  if (pool_ == nullptr) throw std::runtime_error(rte_strerror(rte_errno));
  auto shared = dataplane::Shared::create(setup_.workers, name);
  if (!shared) throw std::runtime_error(shared.error());
  shared_ = std::move(shared).value();

  publish::Publisher::Setup control;
  control.shared = shared_.get();
  for (size_t p = 0; p < document_.ports.size(); ++p) {
    dataplane::PortEntry& e = control.ports.emplace_back();
    e.name = document_.ports[p].name;
    e.mac = port_mac(static_cast<uint16_t>(p));
    e.mtu = document_.ports[p].mtu;
    e.kernel_shares = setup_.kernel_shares;
    e.rss = setup_.rss;
    e.reta = {128, setup_.workers};
    e.addresses = document_.ports[p].addresses;
  }
  for (unsigned w = 0; w < setup_.workers; ++w) {
    stats_.push_back(std::make_unique<dataplane::WorkerStats>(document_.ports.size(), 64, 64));
    control.stats.push_back(stats_.back().get());
  }
  control.toeplitz = &toeplitz_;
  control.random = setup_.seed;
  publisher_ = std::make_unique<publish::Publisher>(std::move(control));
  publisher_->set_keys(setup_.keys);
  if (setup_.publish) reload(setup_.config);

  for (unsigned w = 0; w < setup_.workers; ++w) {
    outputs_.push_back(std::make_unique<Capture>(*this, w));
    arriving_.emplace_back();
    dataplane::WorkerSetup ws;
    ws.id = w;
    ws.shared = shared_.get();
    ws.stats = stats_[w].get();
    ws.output = outputs_[w].get();
    ws.pool = pool_;
    ws.toeplitz = &toeplitz_;
    ws.flows = setup_.flows;
    ws.held_packets = setup_.held_packets;
    ws.neighbors = setup_.neighbors;
    ws.unix_time = setup_.unix_time;
    ws.edit_bytes = setup_.edit_bytes;
    for (uint64_t& s : ws.secret) s = random();
    ws.random_seed = random();
    ws.hold_syns = setup_.hold_syns;
    workers_.push_back(std::make_unique<Worker>(ws, now));
  }
}

Rig::~Rig() {
  finish();
}

void Rig::reload(const std::string& config) {
  document_ = load(config);
  auto applied = publisher_->apply(document_, now);
  if (!applied.ok()) ADD_FAILURE() << applied.error();
}

void Rig::inject(uint16_t port, Bytes frame, uint64_t ol_flags) {
  inject_at(spread(), port, std::move(frame), ol_flags);
}

void Rig::inject_at(unsigned worker, uint16_t port, Bytes frame, uint64_t ol_flags) {
  arriving_[worker].push_back({port, ol_flags, std::move(frame)});
}

void Rig::spread_randomly() {
  spread = [this] { return static_cast<unsigned>(random() % workers_.size()); };
}

void Rig::received(unsigned w) {
  std::deque<Arriving>& queue = arriving_[w];
  for (uint16_t port = 0; port < document_.ports.size(); ++port) {
    rte_mbuf* burst[Worker::kBurst];
    uint16_t n = 0;
    for (auto it = queue.begin(); it != queue.end() && n < Worker::kBurst;) {
      if (it->port != port) {
        ++it;
        continue;
      }
      rte_mbuf* m = rte_pktmbuf_alloc(pool_);
      if (m == nullptr) break;  // as a NIC without buffers: it stays outside
      uint8_t* room = reinterpret_cast<uint8_t*>(
          rte_pktmbuf_append(m, static_cast<uint16_t>(it->frame.size())));
      if (room == nullptr) throw std::runtime_error("frame larger than the rig's data room");
      std::copy(it->frame.begin(), it->frame.end(), room);
      m->ol_flags |= it->ol_flags;
      burst[n++] = m;
      it = queue.erase(it);
    }
    received_ += n;
    workers_[w]->receive(port, burst, n);
  }
}

void Rig::poll_worker(unsigned w) {
  workers_[w]->begin(now);
  received(w);
  workers_[w]->receive_handed();
  workers_[w]->housekeeping();
  workers_[w]->flush();
  workers_[w]->quiescent();
}

void Rig::poll() {
  for (unsigned w = 0; w < workers_.size(); ++w) poll_worker(w);
}

bool Rig::idle() const {
  for (const auto& queue : arriving_)
    if (!queue.empty()) return false;
  for (const dataplane::WorkerRings& r : shared_->rings)
    if (rte_ring_count(r.frames) != 0 || rte_ring_count(r.neighbors) != 0 ||
        rte_ring_count(r.control) != 0)
      return false;
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const auto& w) { return w->may_sleep(); });
}

std::vector<Left> Rig::run() {
  // Twice, as a poll may ask the hosts something, and their answer waits outside then.
  unsigned calm = 0;
  for (unsigned i = 0; calm < 2 && i < 10000; ++i) {
    poll();
    calm = idle() ? calm + 1 : 0;
  }
  EXPECT_EQ(calm, 2u) << "workers do not come to rest";
  return take();
}

std::vector<Left> Rig::take() {
  return std::exchange(left_, {});
}

void Rig::pass(Duration d) {
  const Duration step = std::max<Duration>(10ms, d / 1000);
  for (const Instant end = now + d; now < end;) {
    now = now + std::min(step, end - now);
    poll();
  }
}

void Rig::sent(unsigned w, uint16_t port, Bytes frame) {
  ++sent_;
  Left left{port, std::move(frame), w};
  if (is_announcement(left.frame)) {
    announced.push_back(std::move(left));
  } else if (is_question(left.frame)) {
    answer(left);
    asked.push_back(std::move(left));
  } else {
    left_.push_back(std::move(left));
  }
}

bool Rig::answer(const Left& question) {
  const Seen s = look(question.frame);
  const IpAddress target = s.type == kArp ? s.to : IpAddress::v6(question.frame.data() + s.l4 + 8);
  if (nobody_answers || silent.count(target) != 0) return false;
  if (s.type == kArp)
    inject(question.port, arp_reply(target, s.from_mac, s.from));
  else
    inject(question.port, advertisement({s.from_mac, mac_of(target)}, target, s.from, target, 0x60,
                                        mac_of(target)));
  return true;
}

uint16_t Rig::backend(const std::string& pool, const std::string& name) const {
  const uint16_t slot = publisher_->slots().find_backend(pool, name);
  EXPECT_NE(slot, dataplane::kNoSlot) << pool << "/" << name;
  return slot;
}

uint16_t Rig::service(const std::string& name) const {
  const uint16_t slot = publisher_->slots().find_service(name);
  EXPECT_NE(slot, dataplane::kNoSlot) << name;
  return slot;
}

uint16_t Rig::backend_at(const IpAddress& address, uint16_t port) const {
  const auto& slots = publisher_->slots().backends;
  for (size_t i = 0; i < slots.size(); ++i)
    if (slots[i].used && slots[i].endpoint.address == address &&
        slots[i].endpoint.port.host() == port)
      return static_cast<uint16_t>(i);
  return dataplane::kNoSlot;
}

void Rig::set_backend(uint16_t slot, balance::Admin admin, balance::Health health) {
  publisher_->set_status(slot, {admin, health});
}

IpAddress Rig::next_hop(const IpAddress& host) const {
  for (const config::Port& p : document_.ports)
    for (const Prefix& on_link : p.addresses)
      if (on_link.contains(host)) return host;
  for (const config::Route& r : document_.routes)
    if (r.to.contains(host)) return r.via;
  return host;
}

uint16_t Rig::port_towards(const IpAddress& host) const {
  const IpAddress hop = next_hop(host);
  for (size_t p = 0; p < document_.ports.size(); ++p)
    for (const Prefix& on_link : document_.ports[p].addresses)
      if (on_link.contains(hop)) return static_cast<uint16_t>(p);
  ADD_FAILURE() << "no way to " << host.to_string();
  return 0;
}

Link Rig::to_us(const IpAddress& from) const {
  return {port_mac(port_towards(from)), mac_of(next_hop(from))};
}

Link Rig::from_us(const IpAddress& to) const {
  return {mac_of(next_hop(to)), port_mac(port_towards(to))};
}

uint64_t Rig::sum(dataplane::Counter WorkerCounters::*counter) const {
  uint64_t n = 0;
  for (const auto& s : stats_) n += (s->worker.*counter).get();
  return n;
}

uint64_t Rig::drops(Drop reason) const {
  uint64_t n = 0;
  for (const auto& s : stats_)
    for (const auto& port : s->drops) n += port[static_cast<size_t>(reason)].packets.get();
  return n;
}

uint64_t Rig::drops() const {
  uint64_t n = 0;
  for (const auto& s : stats_) n += s->drops_total();
  return n;
}

std::string Rig::drop_list() const {
  std::string text;
  for (size_t d = 0; d < kDropCount; ++d)
    if (const uint64_t n = drops(static_cast<Drop>(d)); n != 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", drop_name(static_cast<Drop>(d)), n);
  return text;
}

uint32_t Rig::flows() const {
  uint32_t n = 0;
  for (const auto& w : workers_) n += w->flows().used();
  return n;
}

uint64_t Rig::rules_in_use() const {
  uint64_t n = 0;
  for (const auto& w : stats_)
    for (const auto& s : w->services)
      for (const dataplane::Counter& held : s.rules_in_use) n += held.get();
  return n;
}

flow::Listed Rig::only_flow() const {
  EXPECT_EQ(flows(), 1u);
  for (const auto& w : workers_)
    for (flow::FlowId id = 0; id < w->flows().capacity(); ++id)
      if (w->flows().live(id))
        return {w->flows().at(id), w->flows().aside(id).created, w->flows().aside(id).reason};
  return {};
}

unsigned Rig::free_mbufs() const {
  return rte_mempool_avail_count(pool_);
}

void Rig::check_identity(const char* when) {
  uint64_t handed_out = 0, handed_in = 0, ring_dropped = 0, in_rings = 0, active = 0;
  for (unsigned w = 0; w < stats_.size(); ++w) {
    const WorkerCounters& n = stats_[w]->worker;
    EXPECT_EQ(n.rx.get() + n.handed_in.get(), n.forwarded.get() + n.consumed.get() +
                                                  n.handed_out.get() + n.punted.get() +
                                                  stats_[w]->drops_total() + n.held_packets.get())
        << when << ": a received frame of worker " << w
        << " has no end or two; drops: " << drop_list();
    EXPECT_EQ(n.tx.get(), n.forwarded.get() + n.originated.get() - n.tx_failed.get())
        << when << ": sent by worker " << w;
    handed_out += n.handed_out.get();
    handed_in += n.handed_in.get();
    ring_dropped += n.ring_out_dropped.get();
    in_rings += rte_ring_count(shared_->rings[w].frames);
    for (const auto& s : stats_[w]->services) active += s.connections_active.get();
  }
  EXPECT_EQ(handed_out, handed_in + ring_dropped + in_rings) << when;
  EXPECT_EQ(sum(&WorkerCounters::rx), received_) << when;
  EXPECT_EQ(sum(&WorkerCounters::tx), sent_) << when;
  if (workers_.empty()) return;
  EXPECT_EQ(active, flows()) << when << ": flows and the services' gauges";
  if (flows() == 0) {
    EXPECT_EQ(rules_in_use(), 0u) << when << ": rules that nobody can hold any more";
  }
  uint64_t by_backend = 0;
  for (const auto& s : stats_)
    for (const auto& b : s->backends) by_backend += b.connections_active.get();
  uint64_t unbound = 0;  // spliced flows that have no backend (yet)
  for (const auto& w : workers_)
    for (flow::FlowId id = 0; id < w->flows().capacity(); ++id)
      unbound += w->flows().live(id) && !w->flows().at(id).bound;
  EXPECT_EQ(by_backend + unbound, flows()) << when << ": flows and the backends' gauges";
}

void Rig::finish_with_rings_full() {
  poll_at_end_ = false;
  finish();
}

void Rig::finish() {
  if (std::exchange(finished_, true)) return;
  accept = nullptr;
  for (auto& queue : arriving_) queue.clear();
  if (poll_at_end_) poll();
  check_identity("before the end");
  workers_.clear();
  for (const auto& s : stats_) {
    EXPECT_EQ(s->worker.held_packets.get(), 0u);
    EXPECT_EQ(s->worker.held_bytes.get(), 0u);
  }
  check_identity("after the end");
  for (const auto& q : keep) EXPECT_TRUE(q->done.load()) << "a query was forgotten";
  publisher_.reset();
  shared_.reset();
  EXPECT_EQ(free_mbufs(), setup_.mbufs) << "buffers were lost or returned twice";
  rte_mempool_free(pool_);
}

Hoard::Hoard(const Rig& rig) {
  while (rte_mbuf* m = rte_pktmbuf_alloc(rig.pool())) taken_.push_back(m);
}
Hoard::~Hoard() {
  for (rte_mbuf* m : taken_) rte_pktmbuf_free(m);
}

std::vector<Left> by_port(std::vector<Left> sent) {
  std::stable_sort(sent.begin(), sent.end(),
                   [](const Left& a, const Left& b) { return a.port < b.port; });
  return sent;
}

testing::AssertionResult are(const std::vector<Left>& got,
                             const std::vector<std::pair<uint16_t, Bytes>>& wanted) {
  bool same = got.size() == wanted.size();
  for (size_t i = 0; same && i < got.size(); ++i)
    same = got[i].port == wanted[i].first && got[i].frame == wanted[i].second;
  if (same) return testing::AssertionSuccess();
  auto result = testing::AssertionFailure() << "sent:";
  for (const Left& l : got) result << "\n  port " << l.port << ": " << describe(l.frame);
  result << "\nwanted:";
  for (const auto& [port, frame] : wanted) result << "\n  port " << port << ": " << describe(frame);
  return result;
}

}  // namespace limpet::worker_test
