#include "hostile.h"

#include <algorithm>

namespace limpet::sim {
namespace {

constexpr uint8_t kShortTtl = 2;
constexpr uint32_t kOldTicks = 200000;

// As Linux' tcp_parse_md5sig_option finds it: kind 19, of 18 octets, behind two NOPs.
void add_signature(Bytes& frame) {
  constexpr size_t kOption = 20;
  uint8_t* ip = &frame[kEthernet];
  const bool v4 = ip[0] / 16 == 4;
  const size_t header = v4 ? size_t{ip[0] & 0xfu} * 4 : 40;
  uint8_t* tcp = ip + header;
  const size_t at = kEthernet + header + size_t{tcp[12] / 16u} * 4;
  tcp[12] = static_cast<uint8_t>(tcp[12] + kOption / 4 * 16);
  uint8_t* length = ip + (v4 ? 2 : 4);
  const size_t all = size_t{length[0]} * 256 + length[1] + kOption;
  length[0] = static_cast<uint8_t>(all >> 8);
  length[1] = static_cast<uint8_t>(all);
  Bytes option(kOption, 0x5a);
  option[0] = option[1] = 1;
  option[2] = 19;
  option[3] = 18;
  frame.insert(frame.begin() + static_cast<ptrdiff_t>(at), option.begin(), option.end());
  fix_checksums(frame);
}

}  // namespace

const char* name(Hostile kind) {
  constexpr const char* kNames[] = {"none",       "again",      "expires",      "old_clock",
                                    "odd_option", "never_acks", "single_octets"};
  return kNames[static_cast<size_t>(kind)];
}

Hostile draw_hostile(uint64_t seed) {
  Random r(seed ^ 0x6576696c);
  if (!r.chance(25)) return Hostile::none;
  return r.pick<Hostile>({Hostile::again, Hostile::again, Hostile::expires, Hostile::expires,
                          Hostile::old_clock, Hostile::odd_option, Hostile::never_acks,
                          Hostile::single_octets});
}

void prepare(Scenario& s, Hostile kind) {
  s.server.check.old_octets_may_differ = kind != Hostile::none;
  // What it says with an old clock may get as far as an end that discards it.
  if (kind == Hostile::old_clock) s.server.check.timestamps_may_go_back += 2 * kOldTicks;
  if (kind == Hostile::single_octets) {
    s.client.nagle = false;
    s.client_app.singly = 300;
  }
  if (kind == Hostile::never_acks) {
    s.ends = false;
    s.limit = std::chrono::seconds(20);
    // Its windows begin at an ACK that never moves, so their edge goes back with each that shrinks.
    s.server.check.windows_go_back = true;
  }
}

HostileCounts& HostileCounts::operator+=(const HostileCounts& o) {
  lies += o.lies;
  longer += o.longer;
  shorter += o.shorter;
  straddling += o.straddling;
  expired += o.expired;
  old_clocks += o.old_clocks;
  odd_options += o.odd_options;
  acks_kept += o.acks_kept;
  single_octets += o.single_octets;
  return *this;
}

void HostileBox::note(const Segment& s) {
  if (s.has(kSyn)) {
    first_ = s.seq + 1;
    open_ = false;
    return;
  }
  if (!open_ && s.has(kAck)) {
    open_ = true;
    first_ack_ = s.ack;
  }
  const auto at = static_cast<int32_t>(s.seq - first_);
  if (at < 0 || s.data.empty() || s.has(kRst)) return;
  // A keep-alive probe's octet need not be one of the stream, and is known if it is.
  const size_t end = static_cast<size_t>(at) + s.data.size();
  if (said_.size() < end) said_.resize(end), known_.resize(end);
  for (size_t i = 0; i < s.data.size(); ++i) {
    const size_t octet = static_cast<size_t>(at) + i;
    if (known_[octet]) continue;
    said_[octet] = static_cast<char>(s.data[i]);
    known_[octet] = true;
  }
  largest_ = std::max(largest_, s.data.size());
  counts_.single_octets += kind_ == Hostile::single_octets && s.data.size() == 1 ? 1 : 0;
}

// What leaves: watched, and discarded by who discards it.
std::vector<Frame> HostileBox::behind(std::vector<Frame> frames) {
  if (kind_ == Hostile::none) return frames;
  std::vector<Frame> out;
  for (Frame& f : frames) {
    const Packet p = parse(f.bytes);
    if (p.kind == Packet::Kind::tcp && open_) {
      Segment s = p.tcp;
      if (f.port == 0 && s.options.timestamps && old_.contains(s.options.timestamps->echo)) {
        s.options.timestamps->echo += kOldTicks;  // an endpoint would wonder
        f.bytes = emit(s);
      }
      if (f.port == 0 && s.has(kAck))
        acknowledged_ =
            std::max(acknowledged_,
                     static_cast<uint32_t>(std::max(0, static_cast<int32_t>(s.ack - first_))));
      if (f.port == 1 && !s.has(kSyn | kRst) && !s.data.empty())
        left_ = std::max(left_, static_cast<uint32_t>(std::max(
                                    0, static_cast<int32_t>(s.seq + s.data.size() - first_))));
      if (f.port == 1 && (s.ttl <= kShortTtl || s.options.unknown > 0) && !s.has(kSyn)) {
        ++counts_.expired;
        continue;
      }
    }
    out.push_back(std::move(f));
  }
  return out;
}

std::vector<Frame> HostileBox::pass(Bytes bytes, Instant now) {
  return behind(inner_.on_frame(0, std::move(bytes), now));
}

// `s` with other octets, where they may be others, and perhaps with another range. Empty: there is
// nothing to lie about.
Bytes HostileBox::lie(const Segment& s, bool anywhere) {
  size_t begin = s.seq - first_, end = begin + s.data.size();
  const uint64_t shape = anywhere ? 0 : random_.below(4);
  const auto some = [&](size_t most) { return random_.below(std::min<size_t>(most, 200) + 1); };
  if (shape == 1) end += some(said_.size() - end);
  if (shape == 2) end -= some(end - begin - 1);
  if (shape == 3) {
    begin -= some(begin);
    end -= some(end - begin - 1);
  }
  end = std::min(end, begin + largest_);
  const size_t judged = anywhere ? end : target_.judged(left_, acknowledged_);
  Bytes octets(said_.begin() + static_cast<ptrdiff_t>(begin),
               said_.begin() + static_cast<ptrdiff_t>(end));
  bool lies = false;
  constexpr std::string_view kLetters = "GET / HTTP/1.1\r\nX: a\r\n\r\n";
  for (size_t i = begin; i < end; ++i) {
    if (!known_[i]) return {};
    if (i >= judged || !target_.lies_about(static_cast<uint32_t>(i)) || random_.chance(30))
      continue;
    const auto letter = static_cast<uint8_t>(kLetters[random_.below(kLetters.size())]);
    lies |= letter != octets[i - begin];
    octets[i - begin] = letter;
  }
  if (!lies) return {};
  ++counts_.lies;
  counts_.longer += shape == 1 ? 1 : 0;
  counts_.shorter += shape == 2 ? 1 : 0;
  counts_.straddling += shape == 3 ? 1 : 0;
  Segment other = s;
  other.flags = kAck | (s.flags & kPsh);
  other.seq = first_ + static_cast<uint32_t>(begin);
  other.data = octets;
  if (kind_ == Hostile::odd_option) other.options.sacks = 0;
  Bytes frame = emit(other);
  if (kind_ == Hostile::odd_option) add_signature(frame);
  counts_.odd_options += kind_ == Hostile::odd_option ? 1 : 0;
  return frame;
}

std::vector<Frame> HostileBox::on_frame(uint16_t port, Bytes bytes, Instant now) {
  if (kind_ == Hostile::none) return inner_.on_frame(port, std::move(bytes), now);
  if (port != 0) return behind(inner_.on_frame(port, std::move(bytes), now));
  Packet p = parse(bytes);
  if (p.kind != Packet::Kind::tcp) return pass(std::move(bytes), now);
  Segment& s = p.tcp;
  note(s);
  if (!open_ || s.has(kRst | kSyn)) return pass(std::move(bytes), now);
  if (kind_ == Hostile::never_acks) {
    counts_.acks_kept += s.ack != first_ack_ ? 1 : 0;
    s.ack = first_ack_;
    s.options.sacks = 0;
    return pass(emit(s), now);
  }
  const bool in_stream = static_cast<int32_t>(s.seq - first_) >= 0 && !s.data.empty();
  if (!in_stream || !random_.chance(40)) return pass(std::move(bytes), now);
  const auto add = [](std::vector<Frame>& to, std::vector<Frame> more) {
    for (Frame& f : more) to.push_back(std::move(f));
  };
  if (kind_ == Hostile::odd_option) {
    Bytes other = lie(s, true);
    std::vector<Frame> out;
    if (!other.empty()) out = pass(std::move(other), now);
    add(out, pass(std::move(bytes), now));
    return out;
  }
  if (kind_ == Hostile::single_octets) return pass(std::move(bytes), now);
  Segment first = s;
  if (kind_ == Hostile::expires) first.ttl = kShortTtl;
  if (kind_ == Hostile::old_clock && s.options.timestamps) {
    first.options.timestamps->value -= kOldTicks;
    old_.insert(first.options.timestamps->value);
    ++counts_.old_clocks;
  }
  std::vector<Frame> out = pass(emit(first), now);
  if (Bytes other = lie(s, false); !other.empty()) add(out, pass(std::move(other), now));
  return out;
}

}  // namespace limpet::sim
