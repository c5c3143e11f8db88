// One splice in small numbers: the client's octets are 1001.. for both ends, the backend's 7001..
// are 5001.. for the client. What it emits is kept, its editor's heads are lines.
#pragma once

#include "limpet/tcp/splice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/wire/frame.h"

namespace limpet::tcp {

using namespace std::chrono_literals;
using wire::tcp_flag;

inline constexpr Side kClient = Side::client, kBackend = Side::backend;
inline constexpr uint8_t kAck = tcp_flag::ack, kFin = tcp_flag::fin | tcp_flag::ack;

inline std::span<const uint8_t> bytes(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

struct Emitted {
  Side to = kClient;
  uint32_t seq = 0, ack = 0;
  uint16_t window = 0;
  std::string data;
  bool fin = false, split = false;
  std::optional<wire::TcpOptions::Timestamps> timestamps;
  uint8_t ttl = 0, traffic_class = 0;
};

// The editor's heads are lines: final once they are complete. Runs of 'b' in them are bodies. A FIN
// behind a complete line opens the stream.
class SpliceTest : public testing::Test, SpliceSink, SpliceEditor, HoldMemory {
 protected:
  SpliceTest() {
    flow.ends[0].map = StreamMap(Seq{1001}, Seq{1001});
    flow.ends[1].map = StreamMap(Seq{7001}, Seq{5001});
    flow.ends[0].right = flow.ends[0].edge = Seq{21001};
    flow.ends[1].right = Seq{25001};
    flow.ends[1].edge = Seq{27001};
    flow.ends[0].most = flow.ends[1].most = 1460;
    flow.sack = true;
  }
  void TearDown() override {
    splice.end(flow);
    EXPECT_EQ(edits.live(), 0u);
    EXPECT_EQ(copies.bytes_used(), 0u);
    EXPECT_TRUE(memory_.empty()) << "what was held goes back";
    EXPECT_FALSE(working_);
  }
  void emit(SpliceFlow&, Side to, const SegmentOut& s) override {
    Emitted e{
        to,      s.seq.value,  s.ack.value, s.window,       {}, (s.flags & tcp_flag::fin) != 0,
        s.split, s.timestamps, s.ttl,       s.traffic_class};
    for (unsigned i = 0; i < s.piece_count; ++i)
      e.data.append(s.pieces[i].begin(), s.pieces[i].end());
    EXPECT_EQ(e.data.size(), s.length);
    out.push_back(std::move(e));
  }
  uint32_t most(const SpliceFlow&, Side to) override { return port_takes[index_of(to)]; }
  Shown show(SpliceFlow& f, Side from, std::span<const uint8_t> octets, bool octets_end) override {
    const size_t s = index_of(from);
    const std::string_view text(reinterpret_cast<const char*>(octets.data()), octets.size());
    uint32_t final = 0;
    for (size_t end; (end = text.find('\n', final)) != text.npos;) {
      if (!inserted[s].empty()) {
        EXPECT_TRUE(f.ends[s].map.append(
            edits, f.ends[s].map.frontier() + static_cast<uint32_t>(end), 0, bytes(inserted[s])));
      }
      final = static_cast<uint32_t>(end) + 1;
      if (opens) return {static_cast<uint32_t>(text.size()), true};
    }
    Shown r{final, octets_end && final == text.size()};
    for (size_t at = 0; (at = text.find('b', at)) < final;) {
      const size_t end = std::min(text.find_first_not_of('b', at), text.size());
      r.bodies.add(static_cast<uint32_t>(at), static_cast<uint32_t>(end));
      at = end;
    }
    return r;
  }
  void not_kept(SpliceFlow&, Side) override { ++forgotten; }
  std::span<uint8_t> take(uint32_t size) override {
    if (no_memory) return {};
    memory_.push_back(std::make_unique<uint8_t[]>(size));
    return {memory_.back().get(), size};
  }
  void give(std::span<uint8_t> m) override {
    std::erase_if(memory_, [&](const auto& one) { return one.get() == m.data(); });
  }
  uint32_t take_binding(SpliceFlow&) override { return working_ = true, 0; }
  void give_binding(uint32_t) override { working_ = false; }
  SpliceBinding& binding(uint32_t) override { return binding_; }
  void due(uint32_t, Instant) override {}

  void open(Side side) { flow.at(side).map.open(); }
  // Before open().
  void edit(Side side, uint32_t at, uint32_t removed, std::string_view text) {
    ASSERT_TRUE(flow.at(side).map.append(edits, Seq{at}, removed, bytes(text)));
  }
  Handled relay(Side from, SegmentIn in) {
    out.clear();
    return splice.relay(flow, from, in, now);
  }
  static SegmentIn segment(uint32_t seq, uint32_t ack, std::string_view data = {},
                           uint8_t flags = kAck) {
    SegmentIn in;
    in.seq = Seq{seq};
    in.ack = Seq{ack};
    in.flags = flags;
    in.window = 20000;
    in.payload = bytes(data);
    return in;
  }
  Handled client(uint32_t seq, std::string_view data, uint8_t flags = kAck) {
    return relay(kClient, segment(seq, 5001, data, flags));
  }
  // What the backend says of the client's stream.
  Handled backend_acks(uint32_t ack, uint16_t window = 20000,
                       std::initializer_list<wire::SackBlock> sack = {}) {
    SegmentIn in = segment(7001, ack);
    in.window = window;
    for (const wire::SackBlock& b : sack) in.sack.block[in.sack.count++] = b;
    return relay(kBackend, in);
  }
  void pass(Duration d) {
    out.clear();
    now = now + d;
    splice.on_time(flow, now);
  }
  std::string data_to(Side to) const {
    std::string all;
    for (const Emitted& e : out)
      if (e.to == to) all += e.data;
    return all;
  }
  static std::vector<wire::SackBlock> blocks(const Handled& h) {
    return {h.numbers.sack.block.begin(), h.numbers.sack.block.begin() + h.numbers.sack.count};
  }

  EditPool edits{1 << 16};
  CopyPool copies{1 << 20};
  Splice splice{edits, copies, *this, *this, *this};
  SpliceFlow flow;
  Instant now{1000000000};
  std::vector<Emitted> out;
  std::string inserted[2];  // in front of the end of every line
  uint32_t port_takes[2] = {65535, 65535};
  bool opens = false;  // the first line is the last that is looked at
  bool no_memory = false;
  unsigned forgotten = 0;  // looks at octets that were not kept

 private:
  std::vector<std::unique_ptr<uint8_t[]>> memory_;
  SpliceBinding binding_;
  bool working_ = false;
};

// The client has said half a line and waits for a backend, or for an answer of ours.
class AnsweredTest : public SpliceTest {
 protected:
  void SetUp() override {
    flow = SpliceFlow{};
    flow.ends[0].most = flow.ends[1].most = 1460;
    ASSERT_TRUE(splice.begin(flow, Seq{1001}, Seq{5001}, 16384));
    EXPECT_FALSE(splice.collect(flow, segment(1001, 5001, "half a li"), now));
  }
  bool says(const SegmentIn& in) {
    out.clear();
    return splice.answered(flow, in, now);
  }
};

}  // namespace limpet::tcp
