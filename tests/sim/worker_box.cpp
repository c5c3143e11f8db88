#include "worker_box.h"

#include <fmt/core.h>
#include <rte_ring_elem.h>

#include <algorithm>

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

constexpr Duration kTurn = 4ms;  // how often an idle worker is polled while it has flows

IpAddress dead_address(bool v6) {
  return v6 ? *IpAddress::parse("fd00:2::9") : IpAddress::v4(10, 2, 0, 9);
}

std::string config_of(const WorkerBoxOptions& o, unsigned reloaded = 0) {
  const char* const dead = o.v6 ? "fd00:2::9" : "10.2.0.9";
  return fmt::format(
      R"(
ports = (
  {{ name = "front"; device = "net_ring0"; mtu = {}; addresses = [ "10.1.0.254/24", "fd00:1::254/64" ]; }},
  {{ name = "back"; device = "net_ring1"; mtu = {}; addresses = [ "10.2.0.254/24", "fd00:2::254/64" ]; }}
);
pools = (
  {{ name = "web"; scheduler = "{}"; maglev_size = 251; health = {{ type = "none"; }};
    backends = ( {{ name = "s0"; address = "{}"; port = 80; }}{} ); }}
);
services = (
  {{ name = "web"; vip = "{}"; port = 80; protocol = "tcp"; mode = "{}"; pool = "web";
    timeouts = {{ connect = "{}"; time_wait = "60s"; {} }};
    {} {} }}
);
{}
)",
      o.front_mtu, o.back_mtu, o.seed % 3 == 0 ? "roundrobin" : "maglev",
      server_address(o.v6).to_string(),
      o.dead ? fmt::format(R"(, {{ name = "dead"; address = "{}"; port = 80; }})", dead) : "",
      WorkerBox::vip(o.v6).to_string(), o.mode, o.connect, o.timeouts, o.service,
      // Upwards: what a client was promised is not taken back.
      o.reloads == 0 ? "" : fmt::format("limits = {{ head_bytes = \"{}k\"; }};", 10 + reloaded),
      // What is logged is followed: not in every seed, and in some for a part.
      o.seed % 2 != 0   ? ""
      : o.seed % 8 == 0 ? R"(log = { to = "stderr"; sample = 0.5; };)"
                        : R"(log = { to = "stderr"; };)");
}

worker_test::Rig::Setup setup_of(const WorkerBoxOptions& o) {
  worker_test::Rig::Setup s;
  s.config = config_of(o);
  s.flows = 64;
  s.held_packets = 64;
  s.mbufs = 1023;
  s.data_room = 9728;
  s.seed = o.seed + 1;
  s.start = Instant{} + o.start;
  s.keys = o.keys;
  s.unix_time = o.unix_time;
  return s;
}

void put_mac(Bytes& frame, const MacAddress& to, const MacAddress& from) {
  std::copy(to.bytes.begin(), to.bytes.end(), frame.begin());
  std::copy(from.bytes.begin(), from.bytes.end(), frame.begin() + 6);
}

IpAddress host(uint16_t port, bool v6) {
  return port == 0 ? client_address(v6) : server_address(v6);
}

}  // namespace

IpAddress WorkerBox::vip(bool v6) {
  return v6 ? *IpAddress::parse("fd00:1::100") : IpAddress::v4(10, 1, 0, 100);
}

WorkerBox::WorkerBox(const WorkerBoxOptions& options)
    : options_(options), rig_(setup_of(options)), base_(rig_.now) {
  rig_.run();
  if (options.crowd) crowd();
}

void WorkerBox::crowd() {
  Segment s;
  s.from = options_.v6 ? *IpAddress::parse("fd00:1::77") : IpAddress::v4(10, 1, 0, 77);
  s.to = vip(options_.v6);
  s.to_port = kServerPort;
  s.flags = kSyn;
  for (s.from_port = 1; s.from_port <= 1000; ++s.from_port) {
    Bytes frame = emit(s);
    put_mac(frame, rig_.port_mac(0), worker_test::mac_of(s.from));
    rig_.inject(0, std::move(frame));
    if (s.from_port % 20 == 0) rig_.run();
  }
}

// At frames that grow apart, so that some come in the handshake and some late.
void WorkerBox::reload() {
  ++frames_;
  if (reloaded_ == options_.reloads || frames_ < (2 + options_.seed % 5) << reloaded_) return;
  rig_.control_turn();
  rig_.reload(config_of(options_, ++reloaded_));
}

// The hosts' own MACs are the simulation's; the rig's hosts have theirs by address.
std::vector<Frame> WorkerBox::on_frame(uint16_t port, Bytes bytes, Instant now) {
  rig_.now = base_ + (now - Instant{});
  turned_ = now;
  if (const Packet p = parse(bytes); p.kind == Packet::Kind::tcp) watch_.came_in(port, p.tcp);
  put_mac(bytes, rig_.port_mac(port), worker_test::mac_of(host(port, options_.v6)));
  rig_.inject(port, std::move(bytes));
  reload();
  return collect();
}

std::optional<Instant> WorkerBox::next_timer() const {
  if (rig_.flows() == 0) return std::nullopt;
  return turned_ + kTurn;
}

std::vector<Frame> WorkerBox::on_timer(Instant now) {
  rig_.now = base_ + (now - Instant{});
  turned_ = now;
  return collect();
}

std::vector<Frame> WorkerBox::collect() {
  std::vector<Frame> out;
  // What the dead backend says may make the worker send something again.
  for (std::vector<worker_test::Left> left = rig_.run(); !left.empty(); left = rig_.run())
    for (worker_test::Left& l : left) {
      if (at_dead(l)) continue;
      if (const Packet p = parse(l.frame); p.kind == Packet::Kind::tcp)
        watch_.went_out(l.port, p.tcp);
      if (l.frame.size() > kEthernet + (l.port == 0 ? options_.front_mtu : options_.back_mtu))
        larger_ = fmt::format("a frame of {} does not fit its port; ", l.frame.size());
      Frame f{l.port, std::move(l.frame)};
      const MacAddress client{{2, 1, 10, 1, 0, 1}}, server{{2, 1, 10, 2, 0, 1}};
      f.port == 0 ? put_mac(f.bytes, client, server) : put_mac(f.bytes, server, client);
      out.push_back(std::move(f));
    }
  return out;
}

bool WorkerBox::at_dead(const worker_test::Left& left) {
  if (left.port != 1) return false;
  const Packet p = parse(left.frame);
  if (p.kind != Packet::Kind::tcp || p.tcp.to != dead_address(options_.v6)) return false;
  dead_resets += p.tcp.has(kRst) ? 1 : 0;
  if (!p.tcp.has(kSyn)) return true;
  ++dead_syns;
  dead_syn = p.tcp;
  dead_syn.data = {};
  if (!options_.dead_answers) return true;
  Segment s;
  s.from = p.tcp.to;
  s.to = p.tcp.from;
  s.from_port = p.tcp.to_port;
  s.to_port = p.tcp.from_port;
  s.flags = kRst | kAck;
  s.ack = p.tcp.seq + 1;
  Bytes frame = emit(s);
  put_mac(frame, rig_.port_mac(1), worker_test::mac_of(p.tcp.to));
  rig_.inject(1, std::move(frame));
  return true;
}

// Of every request that was logged: what its line says goes together.
std::string WorkerBox::log_faults() {
  using dataplane::Ending;
  using dataplane::Phase;
  std::string text;
  dataplane::LogRecord r;
  while (rte_ring_sc_dequeue_elem(rig_.shared().rings[0].log, &r, sizeof r) == 0) {
    ++logged;
    const auto fault = [&](bool good, const char* what) {
      if (!good)
        text += fmt::format("a line of the log {}: {} {} {} {} in={} out={} {}; ", what,
                            r.verb_text(), r.path_text(), r.status, r.own ? "own" : "", r.in, r.out,
                            ending_name(r.ending));
    };
    fault(r.ending < Ending::count_ && r.phase < Phase::count_, "has an end of none");
    if (r.forwarding != Forwarding::splice) continue;
    const bool done = r.ending == Ending::done;
    fault(done == (r.phase == Phase::none), "is over and is not");
    fault(!done || (r.status >= 101 && !r.own && r.in >= 18 && r.out >= 16), "is too short");
    fault(r.phase != Phase::data || (r.status >= 101 && !r.own), "has a body and no head");
    fault(!r.own || r.status >= 400, "is our own and good");
    fault(r.phase == Phase::request || !r.verb_text().empty(), "has no method");
    fault(r.head == dataplane::kNever || r.total >= r.head,
          "has a head that is later than its end");
    fault(r.first_byte == dataplane::kNever || r.total >= r.first_byte,
          "is answered behind its end");
  }
  if (rig_.worker().transactions() != 0)
    text += fmt::format("{} requests left that will have lines; ", rig_.worker().transactions());
  return text;
}

std::string WorkerBox::config() const {
  return config_of(options_);
}

std::string WorkerBox::leaks() {
  rig_.pass(3h);
  rig_.take();
  rig_.check_identity("after the last flow");
  std::string text = watch_.violation() + larger_ + log_faults();
  if (rig_.flows() != 0) text += fmt::format("{} flows left; ", rig_.flows());
  const dataplane::WorkerCounters& n = rig_.stats().worker;
  if (n.edits_live.get() != 0) text += fmt::format("{} edits left; ", n.edits_live.get());
  if (n.bindings_used.get() != 0) text += fmt::format("{} holds left; ", n.bindings_used.get());
  if (n.half_open_used.get() != 0)
    text += fmt::format("{} half-open clients left; ", n.half_open_used.get());
  if (rig_.rules_in_use() != 0) text += fmt::format("{} rules held; ", rig_.rules_in_use());
  if (n.sessions_used.get() != 0) text += fmt::format("{} sessions left; ", n.sessions_used.get());
  return text;
}

}  // namespace limpet::sim
