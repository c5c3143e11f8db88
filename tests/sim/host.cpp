#include "host.h"

#include <algorithm>

namespace limpet::sim {

Endpoint& Host::add(const Key& key, EndpointOptions options, App& app, std::unique_ptr<App> owned) {
  options.local = address;
  options.local_mac = mac;
  options.remote_mac = gateway;
  options.local_port = key.local_port;
  options.remote = key.remote;
  options.remote_port = key.remote_port;
  auto endpoint = std::make_unique<Endpoint>(std::move(options), app);
  connections_.push_back({std::move(owned), std::move(endpoint)});
  live_[key] = connections_.back().endpoint.get();
  return *connections_.back().endpoint;
}

Endpoint& Host::connect(EndpointOptions options, App& app, Instant now) {
  const Key key{options.local_port, options.remote, options.remote_port};
  Endpoint& endpoint = add(key, std::move(options), app, nullptr);
  endpoint.connect(now);
  return endpoint;
}

Endpoint* Host::find(uint16_t local_port, const IpAddress& remote, uint16_t remote_port) const {
  const auto found = live_.find(Key{local_port, remote, remote_port});
  return found == live_.end() ? nullptr : found->second;
}

void Host::on_frame(std::span<const uint8_t> frame, Instant now) {
  const Packet packet = parse(frame);
  const Segment& s = packet.tcp;
  switch (packet.kind) {
    case Packet::Kind::other:
      return;
    case Packet::Kind::malformed:
    case Packet::Kind::ip_sum:
    case Packet::Kind::l4_sum:
      ++counts_.checksum_drops;
      if (!corruption)
        violations_.push_back("a frame that cannot be read, or with a wrong checksum");
      return;
    case Packet::Kind::too_big: {
      const TooBig& t = packet.too_big;
      Endpoint* endpoint = t.from == address ? find(t.from_port, t.to, t.to_port) : nullptr;
      if (endpoint != nullptr) {
        endpoint->on_too_big(t, now);
      } else {
        ++counts_.mtu_ignored;
      }
      return;
    }
    case Packet::Kind::tcp:
      break;
  }
  if (s.to_mac != mac || s.to != address) {
    violations_.push_back("a frame for somebody else: " + describe(s));
    return;
  }
  on_tcp(s, now);
}

void Host::on_tcp(const Segment& s, Instant now) {
  const Key key{s.to_port, s.from, s.from_port};
  Endpoint* endpoint = find(key.local_port, key.remote, key.remote_port);
  const auto listener = listeners_.find(s.to_port);
  if (endpoint != nullptr &&
      (endpoint->gone() || (listener != listeners_.end() && endpoint->yields_to(s)))) {
    live_.erase(key);
    endpoint = nullptr;
  }
  if (endpoint != nullptr) {
    endpoint->on_segment(s, now);
    return;
  }
  if (listener == listeners_.end() || !s.only(kSyn | kAck | kRst, kSyn)) {
    refuse(s);
    return;
  }
  Accepted accepted = listener->second(s);
  App& app = *accepted.app;
  Endpoint& made = add(key, std::move(accepted.options), app, std::move(accepted.app));
  made.listen();
  made.on_segment(s, now);
}

void Host::refuse(const Segment& s) {
  if (s.has(kRst) || !answers_strangers) return;
  Segment r;
  r.from_mac = mac;
  r.to_mac = gateway;
  r.from = address;
  r.to = s.from;
  r.from_port = s.to_port;
  r.to_port = s.from_port;
  if (s.has(kAck)) {
    r.flags = kRst;
    r.seq = s.ack;
  } else {
    r.flags = kRst | kAck;
    r.ack = s.seq + s.length();
  }
  ++counts_.resets_sent;
  out_.push_back(emit(r));
}

void Host::on_timer(Instant now) {
  for (const auto& [key, endpoint] : live_) {
    if (endpoint->next_timer() <= now) endpoint->on_timer(now);
  }
  std::erase_if(live_, [](const auto& entry) { return entry.second->gone(); });
}

Instant Host::next_timer() const {
  Instant next = Endpoint::kNever;
  for (const auto& [key, endpoint] : live_) next = std::min(next, endpoint->next_timer());
  return next;
}

std::vector<Bytes> Host::take() {
  std::vector<Bytes> all = std::exchange(out_, {});
  for (const Connection& c : connections_) {
    if (c.endpoint->quiet()) continue;
    for (Bytes& frame : c.endpoint->take()) all.push_back(std::move(frame));
  }
  return all;
}

Counts Host::counts() const {
  Counts all = counts_;
  for (const Connection& c : connections_) all += c.endpoint->counts();
  return all;
}

std::vector<std::string> Host::violations() const {
  std::vector<std::string> all;
  const auto add = [&](const std::string& text) { all.push_back(name + ": " + text); };
  for (const std::string& text : violations_) add(text);
  for (const Connection& c : connections_) {
    for (const std::string& text : c.endpoint->violations()) add(text);
  }
  return all;
}

}  // namespace limpet::sim
