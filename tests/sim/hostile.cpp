#include "hostile.h"

#include <chrono>

namespace limpet::sim {

constexpr uint8_t kShortTtl = 2;

const char* name(Hostile kind) {
  constexpr const char* kNames[] = {"none", "expires", "never_acks", "single_octets"};
  return kNames[static_cast<size_t>(kind)];
}

Hostile draw_hostile(uint64_t seed) {
  Random r(seed ^ 0x6576696c);
  if (!r.chance(25)) return Hostile::none;
  return r.pick<Hostile>({Hostile::expires, Hostile::never_acks, Hostile::single_octets});
}

void prepare(Scenario& s, Hostile kind) {
  if (kind == Hostile::single_octets) {
    s.client.nagle = false;
    s.client_app.singly = 300;
  }
  if (kind == Hostile::never_acks) {
    s.ends = false;
    s.limit = std::chrono::seconds(20);
  }
}

HostileCounts& HostileCounts::operator+=(const HostileCounts& o) {
  expired += o.expired;
  acks_kept += o.acks_kept;
  single_octets += o.single_octets;
  return *this;
}

std::vector<Frame> HostileBox::behind(std::vector<Frame> frames) {
  if (kind_ != Hostile::expires) return frames;
  std::erase_if(frames, [this](const Frame& f) {
    if (f.port != 1 || parse(f.bytes).tcp.ttl > kShortTtl) return false;
    ++counts_.expired;
    return true;
  });
  return frames;
}

std::vector<Frame> HostileBox::on_frame(uint16_t port, Bytes bytes, Instant now) {
  if (kind_ == Hostile::none || port != 0)
    return behind(inner_.on_frame(port, std::move(bytes), now));
  Packet p = parse(bytes);
  Segment& s = p.tcp;
  if (p.kind == Packet::Kind::tcp && !s.has(kSyn | kRst)) {
    if (!open_) first_ack_ = s.ack;
    open_ = true;
    if (kind_ == Hostile::never_acks) {
      counts_.acks_kept += s.ack != first_ack_ ? 1 : 0;
      s.ack = first_ack_;
      s.options.sacks = 0;
      bytes = emit(s);
    }
    if (kind_ == Hostile::expires && !s.data.empty() && random_.chance(40)) {
      s.ttl = kShortTtl;
      bytes = emit(s);
    }
    if (kind_ == Hostile::single_octets && s.data.size() == 1) ++counts_.single_octets;
  }
  return behind(inner_.on_frame(port, std::move(bytes), now));
}

}  // namespace limpet::sim
