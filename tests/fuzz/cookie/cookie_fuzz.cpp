// Any bytes as cookie values, sealed and plain, as a Set-Cookie field, as a date and as a key file.
// A crash, a sanitizer report or a broken promise of the public headers is a finding; above all, a
// sealed value that is accepted and is not what the encoder would have made.
//
// Input: one byte that says what the rest is, then the rest. Blocks that open cannot be guessed:
// the seeds bring some, and payloads have a kind of their own, as what is behind the cipher.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/affinity/cookie_policy.h"
#include "limpet/affinity/http_date.h"
#include "limpet/affinity/learn.h"
#include "limpet/affinity/plain_cookie.h"
#include "limpet/base/endian.h"

namespace limpet::affinity {
namespace {

using balance::BackendStatus;
using balance::Health;
using balance::Maglev;

constexpr uint64_t kNow = 1700000000;

void require(bool promise, const char* text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text);
  std::abort();
}

// Settings that do not change over a run.
struct Fixed {
  BackendIds backends{{"s0", "s1", "web-2.example"}};
  CookieKeys keys = CookieKeys::first({1, 2, 3, 4, 5});
  std::vector<CookiePolicy> policies;
  Fixed() {
    (void)keys.add({9, 8, 7});
    (void)keys.seal('B');
    for (const bool sealed : {false, true}) {
      for (const CookieMode mode : {CookieMode::insert, CookieMode::rewrite, CookieMode::prefix}) {
        for (const uint64_t timeout : {0, 1800}) {
          CookieSettings s;
          s.service = "web", s.name = "SRV", s.sealed = sealed, s.mode = mode;
          if (mode == CookieMode::insert) {
            s.idle_timeout = timeout, s.absolute_timeout = 8 * timeout;
            s.permanent = timeout != 0, s.no_cache = true;
          }
          policies.push_back(CookiePolicy::compile(s));
        }
      }
    }
  }
};

BackendStatus status(uint16_t member) {
  return member == 2 ? BackendStatus{balance::Admin::up, Health::down} : BackendStatus{};
}

void check_decision(const RequestDecision& d) {
  require((d.flag == RequestFlag::valid) == (d.member != Maglev::kNone),
          "V and only V has a member");
  require(d.member == Maglev::kNone || d.member < 2, "a dead backend is not named");
  require((d.flag == RequestFlag::invalid) == (d.detail != InvalidDetail::none) ||
              d.detail == InvalidDetail::future_dated,
          "I has a detail");
}

// Through every policy, and back: what the answer sets must bring the client to the same backend.
void check_values(Fixed& f, CookieCrypter& crypter, std::string_view text) {
  std::vector<std::string_view> values;
  for (std::string_view rest = text;; rest.remove_prefix(rest.find(';') + 1)) {
    values.push_back(rest.substr(0, rest.find(';')));
    if (rest.find(';') == std::string_view::npos || values.size() == 4) break;
  }
  for (const CookiePolicy& p : f.policies) {
    const RequestDecision d = p.request(f.backends, &crypter, values, kNow, status);
    check_decision(d);
    for (const std::string_view v : values)
      require(p.strip(v) <= v.size(), "what is stripped is there");
    ResponseInput in;
    in.request = d, in.member = d.member == Maglev::kNone ? 1 : d.member, in.now = kNow;
    in.server_cookie = text.size() % 2 == 0;
    std::array<char, kMaxResponseText> out;
    const ResponseEdits e = p.response(f.backends, &crypter, in, out);
    std::string_view given = e.value;
    if (!e.lines.empty()) {
      require(e.lines.starts_with("Set-Cookie: SRV=") && e.lines.ends_with("\r\n"),
              "a header line");
      given = e.lines.substr(16);
      given = given.substr(0, given.find(';'));
    }
    if (given.empty()) continue;
    const RequestDecision again =
        p.request(f.backends, &crypter, std::span(&given, 1), kNow, status);
    require(again.flag == RequestFlag::valid && again.member == in.member,
            "the cookie that was set brings the client back");
    in.request = again, in.server_cookie = false;
    require(p.response(f.backends, &crypter, in, out).lines.empty(), "and is not set again");
  }
}

void check_sealed(CookieCrypter& crypter, std::string_view text) {
  const uint64_t context = cookie_context("web", "SRV");
  const auto o = crypter.open(text, context, minute_of(kNow), {});
  if (o.what != Sealed::valid) return;
  std::array<char, kSealedSize> again;
  crypter.seal(o.payload, context, again);
  const bool own = text[0] == again[0];
  require(own != o.older_key, "another key is an older one");
  require(!own || std::string_view(again.data(), again.size()) == text,
          "what opens is what would be sealed");
}

// What any holder of the key could put behind the cipher.
void check_payload(std::string_view text) {
  if (text.size() < 8) return;
  uint8_t raw[8];
  std::memcpy(raw, text.data(), 8);
  const uint64_t bits = load<BigEndian<uint64_t>>(raw).host();
  SealedPayload p;
  if (!decode_payload(bits, p)) return;
  require(encode_payload(p) == bits, "a payload has one spelling");
  (void)check_dates(p, minute_of(kNow), {480, 30});
}

void check_plain(std::string_view text) {
  const PlainValue v = parse_plain(text);
  require(text.starts_with(v.name), "the name is at the front");
  require(v.first % 4 == 0 && v.last % 4 == 0, "dates are units of four seconds");
  const PrefixValue x = parse_prefix(text);
  require(x.strip == 0 ? x.name == text : x.strip == x.name.size() + 1, "the prefix and its tilde");
  if (text.size() >= kDateSize) {
    const int32_t units = decode_date(text.substr(0, kDateSize));
    std::array<char, kDateSize> again;
    if (units >= 0) {
      encode_date(static_cast<uint32_t>(units), again);
      require(text.starts_with(std::string_view(again.data(), kDateSize)), "dates round-trip");
    }
  }
}

void check_set_cookie(std::string_view text) {
  if (const auto c = parse_set_cookie(text)) {
    require(!c->name.empty() && c->name.size() + c->value.size() < text.size(),
            "views of the field");
    (void)deletes(*c, kNow);
  }
  if (const auto date = parse_cookie_date(text)) {
    std::array<char, kHttpDateSize> out;
    format_http_date(*date, out);
    require(parse_cookie_date({out.data(), out.size()}) == date,
            "dates are written as they are read");
  }
}

void check_keys(std::string_view text) {
  const auto keys = parse_cookie_keys(text, "f");
  if (!keys) {
    require(keys.error().starts_with("f:"), "errors name the file");
    return;
  }
  const auto again = parse_cookie_keys(print_cookie_keys(*keys), "f");
  require(again && *again == *keys, "keys are printed as they are read");
  require(keys->sealing() < keys->list().size(), "one key seals");
}

void run(const uint8_t* data, size_t size) {
  static Fixed fixed;
  static CookieCrypter crypter(fixed.keys);
  if (size == 0) return;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 6) {
    case 0:
      check_values(fixed, crypter, text);
      break;
    case 1:
      check_sealed(crypter, text);
      break;
    case 2:
      check_payload(text);
      break;
    case 3:
      check_plain(text);
      break;
    case 4:
      check_set_cookie(text);
      break;
    default:
      check_keys(text);
  }
}

}  // namespace
}  // namespace limpet::affinity

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::affinity::run(data, size);
  return 0;
}
