#include "trace.h"

#include <fmt/format.h>

namespace limpet::sim {

void Trace::write(const std::string& line) {
  if (file_ != nullptr) {
    std::fwrite(line.data(), 1, line.size(), file_);
  } else {
    text_ += line;
  }
}

void Trace::line(Instant now, const std::string& text) {
  write(fmt::format("{:12.6f} {}\n", static_cast<double>(now.ns) / 1e9, text));
}

void Trace::frame(Instant now, const std::string& from, const std::string& to,
                  std::span<const uint8_t> frame, const std::string& fate) {
  const Packet packet = parse(frame);
  const Segment& s = packet.tcp;
  const std::string way = fmt::format("{:>8} > {:<8}", from, to);
  const std::string end = fate.empty() ? "" : "  ** " + fate;
  if (packet.kind == Packet::Kind::too_big) {
    const TooBig& t = packet.too_big;
    line(now, fmt::format("{} packet too big, mtu {}, quotes port {} seq [{}]{}", way, t.mtu,
                          t.from_port, t.seq, end));
    return;
  }
  if (packet.kind != Packet::Kind::tcp) {
    line(now, fmt::format("{} {} octets, not TCP or damaged{}", way, frame.size(), end));
    return;
  }
  const End ours{s.from, s.from_port, s.to, s.to_port};
  const End theirs{s.to, s.to_port, s.from, s.from_port};
  if (s.has(kSyn)) isn_[ours] = s.seq;
  const auto relative = [&](const End& whose, uint32_t seq) {
    const auto known = isn_.find(whose);
    return known == isn_.end() ? int64_t{seq} : int64_t{static_cast<int32_t>(seq - known->second)};
  };
  TcpOptions options = s.options;
  for (uint8_t i = 0; i < options.sacks; ++i) {
    options.sack[i] = {static_cast<uint32_t>(relative(theirs, options.sack[i].left)),
                       static_cast<uint32_t>(relative(theirs, options.sack[i].right))};
  }
  const int64_t seq = relative(ours, s.seq);
  std::string text = fmt::format("{} {:<3} seq {}", way, describe_flags(s.flags), seq);
  if (!s.data.empty()) {
    text += fmt::format(":{}({})", seq + static_cast<int64_t>(s.data.size()), s.data.size());
  }
  text += fmt::format(" [{}]", s.seq);
  if (s.has(kAck)) text += fmt::format(" ack {} [{}]", relative(theirs, s.ack), s.ack);
  text += fmt::format(" win {}", s.window);
  const std::string shown = describe_options(options);
  if (!shown.empty()) text += " <" + shown + ">";
  if (!s.df) text += " no-DF";
  line(now, text + end);
}

}  // namespace limpet::sim
