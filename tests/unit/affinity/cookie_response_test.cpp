// What is done to a response: exact texts, and every combination of settings against an oracle that
// is written from HAProxy's conditions, not from the product.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "limpet/affinity/cookie_policy.h"

namespace limpet::affinity {
namespace {

using balance::Maglev;

constexpr uint64_t kNow = 1700000000;  // Tue, 14 Nov 2023 22:13:20 GMT; the date ZVPxA
constexpr uint32_t kMinute = minute_of(kNow);

CookieSettings plain() {
  CookieSettings s;
  s.service = "web";
  s.name = "SRV";
  s.sealed = false;
  return s;
}

RequestDecision came(RequestFlag flag, uint16_t member = Maglev::kNone) {
  RequestDecision d;
  d.flag = flag, d.member = member;
  return d;
}
RequestDecision dated(RequestDecision d, uint32_t last, uint32_t first = 0) {
  d.has_last = last != 0, d.last = last;
  d.has_first = first != 0, d.first = first;
  return d;
}

// The texts as strings: they would go with the buffer.
struct Told {
  ResponseFlag flag;
  ServerCookie server;
  std::string value, lines;
};

// Combinations that the configuration refuses: nobody can ask for them.
bool refused(const CookieSettings& s) {
  const bool dated = s.idle_timeout != 0 || s.absolute_timeout != 0;
  const bool servers = s.mode == CookieMode::rewrite || s.mode == CookieMode::learn;
  return s.mode != CookieMode::insert &&
         (dated || (s.indirect && servers) || (s.preserve && !s.indirect));
}

struct Rig {
  BackendIds backends{{"s0", "s1", "s2"}};
  CookieCrypter crypter{CookieKeys::first({1, 2, 3})};

  Told answer(const CookieSettings& s, ResponseInput in) {
    const auto policy = CookiePolicy::compile(s);
    in.now = kNow;
    std::array<char, kMaxResponseText> out;
    const ResponseEdits e = policy.response(backends, &crypter, in, out);
    return {e.flag, e.server, std::string(e.value), std::string(e.lines)};
  }
  std::string lines(const CookieSettings& s, const RequestDecision& d = {}) {
    return answer(s, {.request = d, .member = 1}).lines;
  }
  SealedPayload opened(std::string_view value) {
    const auto o = crypter.open(value, cookie_context("web", "SRV"), kMinute, {});
    EXPECT_EQ(o.what, Sealed::valid) << value;
    return o.payload;
  }
  // Of the cookie in `lines`.
  SealedPayload sealed_in(const std::string& lines) {
    EXPECT_EQ(lines.substr(0, 16), "Set-Cookie: SRV=");
    return opened(std::string_view(lines).substr(16, kSealedSize));
  }
};

TEST(CookieResponse, a_new_client_gets_a_cookie) {
  EXPECT_EQ(Rig().lines(plain()), "Set-Cookie: SRV=s1; path=/\r\n");
}

TEST(CookieResponse, attributes_stand_in_haproxys_order) {
  CookieSettings s = plain();
  s.path = "/app", s.domains = {"a.example", ".b.example"}, s.http_only = s.secure = true;
  s.same_site = SameSite::lax, s.attributes = {"Priority=High", "Partitioned"};
  EXPECT_EQ(Rig().lines(s),
            "Set-Cookie: SRV=s1; path=/app; domain=a.example; domain=.b.example; HttpOnly; Secure; "
            "SameSite=Lax; Priority=High; Partitioned\r\n");
  s = plain();
  s.path = "";
  EXPECT_EQ(Rig().lines(s), "Set-Cookie: SRV=s1\r\n");
}

TEST(CookieResponse, plain_dates_are_stamped_where_there_is_a_timeout) {
  Rig rig;
  CookieSettings s = plain();
  s.idle_timeout = 1800;
  EXPECT_EQ(rig.lines(s), "Set-Cookie: SRV=s1|ZVPxA; path=/\r\n");
  s.absolute_timeout = 28800;
  EXPECT_EQ(rig.lines(s), "Set-Cookie: SRV=s1|ZVPxA|ZVPxA; path=/\r\n");
  s.idle_timeout = 0;
  EXPECT_EQ(rig.lines(s), "Set-Cookie: SRV=s1|ZVPxA|ZVPxA; path=/\r\n");
  // The first date outlives the backend that it was given for.
  const RequestDecision down = dated(came(RequestFlag::down), kNow - 60, kNow - 28800);
  EXPECT_EQ(rig.lines(s, down), "Set-Cookie: SRV=s1|ZVPxA|ZVOAg; path=/\r\n");
}

TEST(CookieResponse, permanent_cookies_end_with_the_earlier_timeout) {
  Rig rig;
  CookieSettings s = plain();
  s.permanent = true, s.absolute_timeout = 28800;
  EXPECT_EQ(rig.lines(s),
            "Set-Cookie: SRV=s1|ZVPxA|ZVPxA; Expires=Wed, 15 Nov 2023 06:13:20 GMT; Max-Age=28800; "
            "path=/\r\n");
  const RequestDecision down = dated(came(RequestFlag::down), kNow - 60, kNow - 28000);
  EXPECT_NE(rig.lines(s, down).find("; Expires=Tue, 14 Nov 2023 22:26:40 GMT; Max-Age=800;"),
            std::string::npos);
  s.idle_timeout = 600;
  EXPECT_NE(rig.lines(s, down).find("; Max-Age=600;"), std::string::npos);
  s.absolute_timeout = 0;
  EXPECT_NE(rig.lines(s).find("SRV=s1|ZVPxA; Expires=Tue, 14 Nov 2023 22:23:20 GMT; Max-Age=600;"),
            std::string::npos);
  // A clock that runs ahead elsewhere gives nobody more than the time-out.
  s.idle_timeout = 0, s.absolute_timeout = 28800;
  const RequestDecision ahead = dated(came(RequestFlag::down), kNow, kNow + 7200);
  EXPECT_NE(rig.lines(s, ahead).find("; Max-Age=28800;"), std::string::npos);
}

TEST(CookieResponse, sealed_cookies_keep_their_issue_minute_where_it_matters) {
  Rig rig;
  CookieSettings s = plain();
  s.sealed = true;
  const SealedPayload fresh{backend_id("s1"), kMinute, 0};
  const RequestDecision mine = dated(came(RequestFlag::valid, 1), kMinute - 3, kMinute - 40);
  const RequestDecision down = dated(came(RequestFlag::down), kMinute - 3, kMinute - 40);
  EXPECT_EQ(rig.sealed_in(rig.lines(s)), fresh);
  EXPECT_EQ(rig.lines(s, mine), "");  // no time-out: nothing to refresh
  EXPECT_EQ(rig.sealed_in(rig.lines(s, down)), fresh);
  s.idle_timeout = 1800;  // the first visit does not matter
  EXPECT_EQ(rig.sealed_in(rig.lines(s, mine)), fresh);
  EXPECT_EQ(rig.lines(s, dated(mine, kMinute, kMinute - 40)), "");  // used within this minute
  s.absolute_timeout = 28800;
  const SealedPayload kept{backend_id("s1"), kMinute - 40, 40};
  EXPECT_EQ(rig.sealed_in(rig.lines(s, mine)), kept);
  EXPECT_EQ(rig.sealed_in(rig.lines(s, down)), kept);
  s.idle_timeout = 0;
  EXPECT_EQ(rig.lines(s, mine), "");
  EXPECT_EQ(rig.sealed_in(rig.lines(s, down)), kept);
  const RequestDecision ahead = dated(came(RequestFlag::down), kMinute + 5, kMinute + 5);
  EXPECT_EQ(rig.sealed_in(rig.lines(s, ahead)), (SealedPayload{backend_id("s1"), kMinute + 5, 0}));
  s.permanent = true;
  // 480 - 40 minutes and the rest of this one, which has 40 s left.
  EXPECT_NE(rig.lines(s, down).find("; Max-Age=26440;"), std::string::npos);
}

// The date of a sealed cookie stands for a minute, or for as many as its unit has, in which it is
// used and not issued again.
TEST(CookieResponse, a_permanent_sealed_cookie_lasts_in_the_browser_as_long_as_it_counts_here) {
  Rig rig;
  CookieSettings s = plain();
  s.sealed = s.permanent = true;
  s.idle_timeout = 60;
  for (const uint32_t age : {0u, 40u, 20001u}) {  // minutes; the last is told as 20016
    s.absolute_timeout = age == 0 ? 0 : 30 * 86400;
    const auto policy = CookiePolicy::compile(s);
    std::array<char, kMaxResponseText> out;
    const auto answer = [&](const RequestDecision& d, uint64_t now) {
      const ResponseInput in{.request = d, .member = 1, .now = now};
      return std::string(policy.response(rig.backends, &rig.crypter, in, out).lines);
    };
    const std::string set =
        answer(dated(came(RequestFlag::down), kMinute - 3, kMinute - age), kNow);
    const std::string value = set.substr(16, kSealedSize);
    const uint64_t ends = kNow + std::stoull(set.substr(set.find("Max-Age=") + 8));
    const auto ask = [&](uint64_t now) {
      const std::string_view values[] = {value};
      return policy.request(rig.backends, &rig.crypter, values, now,
                            [](uint16_t) { return balance::BackendStatus{}; });
    };
    EXPECT_EQ(ask(ends - 1).flag, RequestFlag::valid) << set;
    EXPECT_EQ(ask(ends).flag, RequestFlag::expired) << set;
    uint64_t used = kNow;  // for the last time without being issued again
    for (uint64_t now = kNow; now < ends; ++now)
      if (answer(ask(now), now).empty()) used = now;
    EXPECT_GE(ends - used, 60u) << set;
  }
}

TEST(CookieResponse, a_cookie_under_an_older_key_is_issued_again) {
  Rig rig;
  CookieSettings s = plain();
  s.sealed = true;
  RequestDecision d = dated(came(RequestFlag::valid, 1), kMinute, kMinute);
  EXPECT_EQ(rig.answer(s, {.request = d, .member = 1}).flag, ResponseFlag::none);
  d.older_key = true;
  const Told t = rig.answer(s, {.request = d, .member = 1});
  EXPECT_EQ(t.flag, ResponseFlag::updated);
  EXPECT_EQ(rig.sealed_in(t.lines).backend, backend_id("s1"));
}

TEST(CookieResponse, without_a_sealing_key_nothing_is_said) {
  Rig rig;
  rig.crypter = CookieCrypter(CookieKeys());
  CookieSettings s = plain();
  s.sealed = true;
  Told t = rig.answer(s, {.member = 1});
  EXPECT_EQ(t.flag, ResponseFlag::none);
  EXPECT_EQ(t.lines, "");
  s.mode = CookieMode::rewrite;
  t = rig.answer(s, {.member = 1, .server_cookie = true});
  EXPECT_EQ(t.flag, ResponseFlag::passive);
  EXPECT_EQ(t.server, ServerCookie::keep);
}

TEST(CookieResponse, rewrite_and_prefix_seal_too) {
  Rig rig;
  CookieSettings s = plain();
  s.sealed = true, s.mode = CookieMode::rewrite;
  Told t = rig.answer(s, {.member = 2, .server_cookie = true});
  EXPECT_EQ(t.server, ServerCookie::replace_value);
  EXPECT_EQ(rig.opened(t.value), (SealedPayload{backend_id("s2"), kMinute, 0}));
  s.mode = CookieMode::prefix;
  t = rig.answer(s, {.member = 2, .server_cookie = true});
  EXPECT_EQ(t.server, ServerCookie::prepend_value);
  ASSERT_EQ(t.value.size(), kSealedSize + 1);
  EXPECT_EQ(t.value.back(), '~');
  EXPECT_EQ(rig.opened(t.value.substr(0, kSealedSize)).backend, backend_id("s2"));
}

TEST(CookieResponse, the_longest_text_fits_the_buffer) {
  Rig rig;
  rig.backends = BackendIds({std::string(kMaxPlainName, 'b')});
  CookieSettings s = plain();
  s.name = std::string(kMaxCookieName, 'n');
  s.permanent = s.no_cache = true;
  s.idle_timeout = s.absolute_timeout = kMaxCookieTimeout;
  s.attributes = {std::string(kMaxAttributeText - 10, 'a')};
  const std::string lines = rig.answer(s, {.member = 0}).lines;
  EXPECT_EQ(lines.size(), 12 + 64 + 1 + 64 + 12 + 39 + 10 + 8 + 640 + 2 + 24u);
  EXPECT_LE(lines.size(), kMaxResponseText);
}

// The oracle: HAProxy 2.6's conditions with its own words. SF_DIRECT: the client came by cookie to
// the server that answers. `option persist` and servers without a cookie do not exist here.
struct Oracle {
  char flag = 'N';
  bool removed = false;
  std::string replaced, prefixed, set_cookie;
  bool cache_control = false;
};

Oracle haproxy(const CookieSettings& s, const ResponseInput& in) {
  Oracle o;
  const char* const servers[] = {"s0", "s1", "s2"};
  if (in.status == 100 || in.status == 103) return o;
  const bool srv = in.member != Maglev::kNone, ignore_prst = in.request.ignored;
  const bool sf_direct = in.request.flag == RequestFlag::valid && in.request.member == in.member;
  const bool ins = s.mode == CookieMode::insert, rw = s.mode == CookieMode::rewrite,
             pfx = s.mode == CookieMode::prefix;
  bool sck_found = false;
  if (in.server_cookie && !ignore_prst) {
    o.flag = 'P', sck_found = true;
    if (s.preserve) {
    } else if ((srv && ins) || (sf_direct && s.indirect)) {
      o.removed = true, o.flag = 'D', sck_found = false;
    } else if (srv && rw) {
      o.replaced = servers[in.member], o.flag = 'R';
    } else if (srv && pfx) {
      o.prefixed = std::string(servers[in.member]) + "~", o.flag = 'R';
    }
  }
  const int64_t last = in.request.has_last ? in.request.last : 0;
  const int64_t first = in.request.has_first ? in.request.first : 0;
  const bool maxidle = s.idle_timeout != 0, maxlife = s.absolute_timeout != 0;
  const auto now = static_cast<int64_t>(kNow);
  if (srv && ins && !(sck_found && s.preserve) &&
      (!sf_direct || ((maxidle || last) && (!last || last - now < 0)) || (maxlife && !first) ||
       (!maxlife && first)) &&
      (!s.post_only || in.post) && !ignore_prst) {
    o.set_cookie = std::string("Set-Cookie: SRV=") + servers[in.member];
    if (maxidle || maxlife) {
      o.set_cookie += "|ZVPxA";
      if (maxlife) o.set_cookie += first == 0 ? "|ZVPxA" : "|ZVOAg";
    }
    o.set_cookie += "; path=/\r\n";
    o.flag = sf_direct ? 'U' : 'I';
    o.cache_control = s.no_cache && in.cacheable;
  }
  return o;
}

char haproxy_letter(ResponseFlag flag) {
  return std::string_view("NIUPRD").at(static_cast<size_t>(flag));
}

TEST(CookieResponse, every_combination_is_what_haproxy_would_do) {
  Rig rig;
  std::vector<RequestDecision> requests = {came(RequestFlag::none), came(RequestFlag::invalid),
                                           came(RequestFlag::down), came(RequestFlag::expired),
                                           came(RequestFlag::old),  came(RequestFlag::unused)};
  RequestDecision ignored = came(RequestFlag::unused);
  ignored.ignored = true;
  requests.push_back(ignored);
  for (const uint32_t last : {uint32_t{0}, uint32_t{kNow - 60}, uint32_t{kNow}, uint32_t{kNow + 4}})
    for (const uint32_t first : {uint32_t{0}, uint32_t{kNow - 28800}})
      for (const RequestFlag f : {RequestFlag::valid, RequestFlag::down})
        requests.push_back(
            dated(came(f, f == RequestFlag::valid ? 1 : Maglev::kNone), last, first));

  size_t combinations = 0;
  std::map<char, size_t> flags;
  for (unsigned bits = 0; bits < 1u << 10; ++bits) {
    const auto bit = [&](unsigned n) { return (bits >> n & 1) != 0; };
    for (const CookieMode mode : {CookieMode::insert, CookieMode::rewrite, CookieMode::prefix}) {
      CookieSettings s = plain();
      s.mode = mode;
      s.preserve = bit(0), s.post_only = bit(1), s.indirect = bit(2), s.no_cache = bit(3);
      s.idle_timeout = bit(4) ? 1800 : 0, s.absolute_timeout = bit(5) ? 28800 : 0;
      if (refused(s)) continue;
      const auto policy = CookiePolicy::compile(s);
      for (const RequestDecision& request : requests) {
        for (const uint16_t member : {uint16_t{1}, uint16_t{2}, Maglev::kNone}) {
          for (const uint16_t status : {100, 101, 103, 200, 304, 503}) {
            const ResponseInput in{request,
                                   member,
                                   status,
                                   bit(6),
                                   bit(7),
                                   bit(8) || bit(9),  // not cacheable in a quarter of all
                                   kNow};
            std::array<char, kMaxResponseText> out;
            const ResponseEdits e = policy.response(rig.backends, &rig.crypter, in, out);
            const Oracle o = haproxy(s, in);
            std::string lines = o.set_cookie;
            if (o.cache_control) lines += "Cache-Control: private\r\n";
            const std::string value = o.replaced + o.prefixed;
            const ServerCookie server = o.removed             ? ServerCookie::remove
                                        : !o.replaced.empty() ? ServerCookie::replace_value
                                        : !o.prefixed.empty() ? ServerCookie::prepend_value
                                                              : ServerCookie::keep;
            ASSERT_TRUE(haproxy_letter(e.flag) == o.flag && e.lines == lines && e.value == value &&
                        e.server == server)
                << "mode " << int(mode) << " settings " << bits << " request "
                << letter(request.flag) << " last " << request.last << " first " << request.first
                << " member " << member << " status " << status << ": " << haproxy_letter(e.flag)
                << ' ' << e.lines << e.value << " not " << o.flag << ' ' << lines << value;
            ++combinations;
            ++flags[o.flag];
          }
        }
      }
    }
  }
  EXPECT_GT(combinations, 500000u);
  for (const char flag : {'N', 'I', 'U', 'P', 'R', 'D'}) EXPECT_GT(flags[flag], 1000u) << flag;
}

TEST(CookieResponse, learn_touches_nothing) {
  Rig rig;
  CookieSettings s = plain();
  s.mode = CookieMode::learn, s.sealed = true;
  for (const bool server_cookie : {false, true}) {
    const Told t = rig.answer(s, {.member = 1, .server_cookie = server_cookie});
    EXPECT_EQ(t.flag, server_cookie ? ResponseFlag::passive : ResponseFlag::none);
    EXPECT_EQ(t.server, ServerCookie::keep);
    EXPECT_EQ(t.lines + t.value, "");
  }
}

}  // namespace
}  // namespace limpet::affinity
