// The tracker between two honest ends and somebody who guesses. The ends keep whole positions of 64
// bits, lose and reorder on both sides of the tracker, repeat, probe, fill windows and close them.
// Whatever they say must be inside and move exactly what a tracker with unlimited memory would have
// noted; what is said without knowing the numbers must move nothing.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <random>
#include <string>

#include "limpet/tcp/track.h"
#include "limpet/wire/frame.h"

namespace limpet::tcp {
namespace {

using Position = int64_t;

struct Said {  // a segment in whole positions
  unsigned flags = 0;
  Position seq = 0;
  Position ack = 0;
  Position length = 0;
  uint16_t window = 0;
  bool fin() const { return (flags & wire::fin) != 0; }
  Position end() const { return seq + length + (fin() ? 1 : 0); }
};

// One end. Position 0 is its SYN; stream octets begin at 1.
struct End {
  uint32_t isn = 0;
  unsigned scale = 0;
  uint32_t room = 0;                   // of its receive buffer
  Position una = 1, nxt = 1;           // of what it sends
  Position limit = 0;                  // right edge that it was told
  Position got = 1;                    // of what it receives, in order
  Position told = 0;                   // highest right edge that it has told
  std::map<Position, Position> later;  // behind gaps
  std::optional<Position> fin;

  uint16_t window() {
    // The edge is never taken back (RFC 9293, 3.8.6).
    const Position edge = std::max(told, got + room);
    const auto field = static_cast<uint16_t>(
        std::min<Position>((edge - got + (Position{1} << scale) - 1) >> scale, 0xffff));
    told = std::max(told, got + (Position{field} << scale));
    return field;
  }
  void take(const Said& s) {
    if (s.ack > una && s.ack <= nxt) una = s.ack;
    limit = std::max(limit, s.ack + (Position{s.window} << peer_scale));
    if (s.end() <= got || s.seq > got + room) {
      return;
    }
    later[s.seq] = std::max(later[s.seq], s.end());
    while (!later.empty() && later.begin()->first <= got) {
      got = std::max(got, later.begin()->second);
      later.erase(later.begin());
    }
  }
  unsigned peer_scale = 0;
};

class TrackModel {
 public:
  explicit TrackModel(uint64_t seed) : r_(seed) {
    const bool scaled = !one_in(4);
    for (End& end : ends_) {
      end.isn = one_in(2) ? static_cast<uint32_t>(r_()) : 0u - static_cast<uint32_t>(below(5000));
      end.scale = scaled ? static_cast<unsigned>(one_in(3) ? below(15) : below(9)) : 0;
      end.room = static_cast<uint32_t>(1 + below(one_in(2) ? 8000 : 3000000));
      end.room = std::min(end.room, 0xffffu << end.scale);
    }
    ends_[0].peer_scale = ends_[1].scale;
    ends_[1].peer_scale = ends_[0].scale;
    handshake(scaled);
  }

  void run(unsigned steps) {
    for (unsigned i = 0; i < steps && !testing::Test::HasFailure(); ++i) {
      if (one_in(3)) guess();
      const Side from = one_in(2) ? Side::client : Side::backend;
      if (!one_in(3))
        speak(from, i * 10 > steps * 9);
      else
        arrive(from);
      while (way_[0].size() > 6) arrive(Side::client);
      while (way_[1].size() > 6) arrive(Side::backend);
    }
  }
  uint64_t passed = 0, guessed = 0, closed = 0;

 private:
  uint64_t below(uint64_t n) { return r_() % n; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  End& end(Side s) { return ends_[index_of(s)]; }

  Segment wire_of(Side from, const Said& s) {
    return {.flags = static_cast<uint8_t>(s.flags),
            .window = s.window,
            .seq = Seq{end(from).isn} + static_cast<uint32_t>(s.seq),
            .ack = Seq{end(other(from)).isn} + static_cast<uint32_t>(s.ack),
            .length = static_cast<uint32_t>(s.length)};
  }

  void handshake(bool scaled) {
    End &c = ends_[0], &b = ends_[1];
    const auto option = [&](const End& e) {
      return scaled ? static_cast<uint8_t>(e.scale) : kNoScale;
    };
    const auto first = [](End& e) {
      const auto w = static_cast<uint16_t>(std::min<uint32_t>(e.room, 0xffff));
      e.told = 1 + w;
      return w;
    };
    const uint16_t wc = first(c), wb = first(b);
    c.limit = b.told;
    b.limit = c.told;
    begin({.flags = wire::syn, .scale = option(c), .window = wc, .seq = Seq{c.isn}}, bounds_,
          scales_);
    step(Side::backend, {.flags = wire::syn | wire::ack,
                         .scale = option(b),
                         .window = wb,
                         .seq = Seq{b.isn},
                         .ack = Seq{c.isn} + 1});
    for (size_t s = 0; s < 2; ++s) seen_[s] = {1, 1, ends_[s].told};
    pass(Side::client, {.flags = wire::ack, .seq = 1, .ack = 1, .window = c.window()});
  }

  Step step(Side from, const Segment& s) {
    const Step step = advance(state_, from, s, bounds_, scales_);
    state_ = step.next;
    return step;
  }

  // Through the tracker, and with luck to the other end.
  void pass(Side from, const Said& s) {
    const Step was = step(from, wire_of(from, s));
    ASSERT_FALSE(was.outside || was.knocks || was.stale_ack)
        << "seq " << s.seq << " ack " << s.ack << " length " << s.length << " flags " << s.flags;
    ++passed;
    Seen &mine = seen_[index_of(from)], &yours = seen_[index_of(other(from))];
    mine.ack = std::max(mine.ack, s.ack);
    mine.end = std::max(mine.end, s.end());
    mine.right = std::max(mine.right, s.ack + (Position{s.window} << end(from).scale));
    (void)yours;
    for (const Side side : {Side::client, Side::backend}) {
      const Seen& seen = seen_[index_of(side)];
      const uint32_t own = end(side).isn, peer = end(other(side)).isn;
      ASSERT_EQ(bounds_.ack[index_of(side)], Seq{peer} + static_cast<uint32_t>(seen.ack));
      ASSERT_EQ(bounds_.end[index_of(side)], Seq{own} + static_cast<uint32_t>(seen.end));
      ASSERT_EQ(bounds_.right[index_of(side)], Seq{peer} + static_cast<uint32_t>(seen.right));
    }
    if (state_ == Track::time_wait) ++closed;
    if (!one_in(6)) end(other(from)).take(s);
  }

  // What an honest end says next, whenever it gets there.
  void speak(Side from, bool may_end) {
    End& e = end(from);
    Said s{.flags = wire::ack, .seq = e.nxt, .ack = e.got};
    const uint64_t what = below(8);
    if (what < 3 && !e.fin && e.nxt < e.limit) {  // new octets
      s.length = std::min<Position>(1 + static_cast<Position>(below(1460)), e.limit - e.nxt);
      e.nxt += s.length;
    } else if (what < 5 && e.una < e.nxt) {  // again, from where it was heard
      s.seq = e.una +
              (one_in(2) ? 0 : static_cast<Position>(below(static_cast<uint64_t>(e.nxt - e.una))));
      const Position data_end = e.fin ? *e.fin : e.nxt;
      s.length = std::clamp<Position>(data_end - s.seq, 0, 1460);
      if (e.fin && s.seq + s.length == *e.fin) s.flags |= wire::fin;
    } else if (what == 5) {  // keep-alive
      s.seq = e.una - 1;
      s.length = one_in(2) && s.seq > 0 ? 1 : 0;
    } else if (what == 6 && !e.fin && e.nxt == e.limit && e.una == e.nxt) {  // window probe
      s.length = 1;
      e.nxt += 1;
    } else if (may_end && !e.fin) {
      e.fin = e.nxt;
      s.flags |= wire::fin;
      e.nxt += 1;
    }
    s.window = e.window();
    if (one_in(10)) return;  // lost before us
    way_[index_of(from)].push_back(s);
  }

  void arrive(Side from) {
    std::deque<Said>& way = way_[index_of(from)];
    if (way.empty()) return;
    const size_t at = std::min<size_t>(below(3), way.size() - 1);
    const Said s = way[at];
    way.erase(way.begin() + static_cast<std::ptrdiff_t>(at));
    pass(from, s);
  }

  // Whether a number means a position within [first, last].
  static bool may_mean(Seq number, uint32_t isn, Position first, Position last) {
    const Position low =
        first + static_cast<uint32_t>(number.value - isn - static_cast<uint32_t>(first));
    return low <= last;
  }

  // Somebody who knows addresses and ports. Mostly near what is true, where mistakes would be.
  void guess() {
    static constexpr uint8_t kFlags[] = {wire::ack,
                                         wire::ack | wire::fin,
                                         wire::rst,
                                         wire::rst | wire::ack,
                                         wire::ack | wire::psh,
                                         0,
                                         wire::fin,
                                         wire::syn | wire::ack,
                                         wire::syn};
    const Side from = one_in(2) ? Side::client : Side::backend;
    const Side to = other(from);
    const auto near = [&](Seq truth) {
      if (one_in(3)) return Seq{static_cast<uint32_t>(r_())};
      const uint32_t distance =
          static_cast<uint32_t>(below(one_in(2) ? 4 : uint64_t{1} << below(31)));
      return one_in(2) ? truth + distance : truth - distance;
    };
    const Segment s{
        .flags = kFlags[below(std::size(kFlags))],
        .window = static_cast<uint16_t>(r_()),
        .seq = near(one_in(2) ? bounds_.ack[index_of(to)] : bounds_.right[index_of(to)]),
        .ack = near(one_in(2) ? bounds_.ack[index_of(from)] : bounds_.end[index_of(to)]),
        .length = static_cast<uint32_t>(below(1460))};
    const Seen &mine = seen_[index_of(from)], &yours = seen_[index_of(to)];
    const Position lag = Position{0xffff} << end(to).scale;
    const Position old = Position{0xffff} << end(from).scale;
    const bool knows = may_mean(s.seq, end(from).isn, yours.ack - lag, yours.right + 1) &&
                       may_mean(s.ack, end(to).isn, mine.ack - old, yours.end);
    const bool exact = s.seq == Seq{end(from).isn} + static_cast<uint32_t>(yours.ack) ||
                       s.seq == Seq{end(from).isn} + static_cast<uint32_t>(mine.end);
    const bool reset = (s.flags & wire::rst) != 0;
    const bool handshake = (s.flags & wire::syn) != 0;
    if (!handshake && (reset ? exact : knows && (s.flags & wire::ack) != 0)) return;  // a lucky one
    if (handshake && s.flags == wire::syn && from == Side::client && state_ >= Track::time_wait)
      return;
    const Bounds before = bounds_;
    const Track was = state_;
    const Step result = step(from, s);
    ++guessed;
    ASSERT_EQ(state_, was);
    ASSERT_EQ(std::memcmp(&before, &bounds_, sizeof before), 0);
    if (!handshake) {
      ASSERT_TRUE(result.outside);
    }
  }

  struct Seen {
    Position ack = 0, end = 0, right = 0;
  };

  std::mt19937_64 r_;
  End ends_[2];
  std::deque<Said> way_[2];  // [side] on its way from there to the tracker
  Seen seen_[2];             // [side] what unlimited memory knows of it
  Bounds bounds_;
  Scales scales_;
  Track state_ = Track::syn_sent;
};

TEST(TrackModel, honest_ends_are_inside_and_guesses_move_nothing) {
  uint64_t passed = 0, guessed = 0, closed = 0;
  for (uint64_t seed = 1; seed <= 400 && !testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    TrackModel model(seed);
    model.run(2000);
    passed += model.passed;
    guessed += model.guessed;
    closed += model.closed != 0 ? 1 : 0;
  }
  EXPECT_GT(passed, 200000u);
  EXPECT_GT(guessed, 50000u);
  EXPECT_GT(closed, 100u);
}

}  // namespace
}  // namespace limpet::tcp
