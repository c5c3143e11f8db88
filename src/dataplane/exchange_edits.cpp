// One complete head: which cookies it has, and the edits that it gets.
#include "exchange_edits.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "edit_list.h"
#include "limpet/affinity/header.h"

namespace limpet::dataplane {
namespace {

using affinity::CookieMode;
using affinity::RequestDecision;
using affinity::RequestFlag;
using balance::Maglev;
using http::Hit;
using http::Look;

constexpr size_t kMaxHits = 64;
constexpr size_t kMaxCuts = 64;  // out of a request that asks for HTTP/2; its clients need three

std::string_view text_of(std::span<const uint8_t> bytes, http::Range r) {
  return {reinterpret_cast<const char*>(bytes.data()) + r.begin, r.size()};
}

std::string_view print(const IpAddress& a, std::span<char, INET6_ADDRSTRLEN> out) {
  inet_ntop(a.is_v4() ? AF_INET : AF_INET6, a.is_v4() ? a.v4_bytes() : a.bytes.data(), out.data(),
            INET6_ADDRSTRLEN);
  return out.data();
}

// PROXY protocol, sections 2.1 and 2.2 of its specification. Longest: 107 and 52 bytes.
class ProxyHeader {
 public:
  ProxyHeader(const ExchangeContext& c, Forwarded version) {
    version == Forwarded::proxy_v1 ? text(c) : binary(c);
  }
  std::span<const uint8_t> bytes() const { return {data_.data(), size_}; }

 private:
  void put(std::string_view s) {
    std::copy(s.begin(), s.end(), data_.begin() + static_cast<ptrdiff_t>(size_));
    size_ += s.size();
  }
  void put_number(uint16_t n) {
    std::array<char, 6> digits;
    const auto r = std::to_chars(digits.data(), digits.data() + digits.size(), n);
    put({digits.data(), static_cast<size_t>(r.ptr - digits.data())});
  }
  void text(const ExchangeContext& c) {
    put(c.client.is_v4() ? "PROXY TCP4 " : "PROXY TCP6 ");
    std::array<char, INET6_ADDRSTRLEN> address;
    put(print(c.client, address));
    put(" ");
    put(print(c.vip, address));
    put(" ");
    put_number(c.client_port.host());
    put(" ");
    put_number(c.vip_port.host());
    put("\r\n");
  }
  void put_address(const IpAddress& a) {
    const size_t n = a.is_v4() ? 4 : 16;
    const uint8_t* from = a.is_v4() ? a.v4_bytes() : a.bytes.data();
    std::copy_n(from, n, data_.data() + size_);
    size_ += n;
  }
  void put_port(be16 port) {
    data_[size_++] = static_cast<uint8_t>(port.host() >> 8);
    data_[size_++] = static_cast<uint8_t>(port.host());
  }
  void binary(const ExchangeContext& c) {
    put(std::string_view("\r\n\r\n\0\r\nQUIT\n", 12));
    data_[size_++] = 0x21;                            // version 2, PROXY
    data_[size_++] = c.client.is_v4() ? 0x11 : 0x21;  // TCP
    data_[size_++] = 0;
    data_[size_++] = c.client.is_v4() ? 12 : 36;
    put_address(c.client);
    put_address(c.vip);
    put_port(c.client_port);
    put_port(c.vip_port);
  }

  std::array<uint8_t, 128> data_{};
  size_t size_ = 0;
};

uint16_t slot_of(const ExchangeContext& c, uint16_t member) {
  return member < c.members.size() ? c.members[member] : Maglev::kNone;
}

affinity::CookieCrypter* crypter_of(const ExchangeContext& c) {
  return c.tools != nullptr && c.tools->crypter ? &*c.tools->crypter : nullptr;
}

// Which member the cookies of a later request's user are to name. A connection of many users (a
// proxy in front) stays where its first request went; whoever has a good cookie of another backend
// keeps that, refreshed where it is time, or he would be moved off a backend that lives.
uint16_t home_of(const Asked& asked, const ExchangeContext& c) {
  for (const RequestDecision& d : asked.cookies) {
    const uint16_t member = d.flag == RequestFlag::valid ? c.member_of(d.member) : Maglev::kNone;
    if (member != Maglev::kNone && c.status[c.members[member]].accepts_existing()) return member;
  }
  return c.member;
}

// Where it is counted what an entry did; null: today's list has another one in its place.
PersistenceCounters* counters_of(const ExchangeContext& c, const RulesInUse& by, uint8_t entry) {
  return by.counts(entry) ? &c.counters[entry] : nullptr;
}

using Keys = std::array<std::optional<uint64_t>, kMaxHeaderRules>;  // by header rule

// A header's first line counts, and of that its first element.
Keys keys_of(std::span<const uint8_t> bytes, std::span<const Hit> hits) {
  Keys keys;
  std::array<bool, kMaxHeaderRules> seen{};
  for (const Hit& h : hits) {
    if (h.look != Look::header || h.id >= seen.size() || seen[h.id]) continue;
    seen[h.id] = true;
    keys[h.id] = affinity::hash_key(affinity::header_key(text_of(bytes, h.value)));
  }
  return keys;
}

bool any_of_first(const Keys& keys, size_t n) {
  return std::any_of(keys.begin(), keys.begin() + static_cast<ptrdiff_t>(n),
                     [](const auto& key) { return key.has_value(); });
}

// What each header did; `cookie`: the cookie that decided, or more than there are.
void read_keys(Exchange& s, const Keys& keys, size_t cookie, const ExchangeContext& c,
               const RulesInUse& by) {
  for (size_t i = 0; i < by.rules->headers.size(); ++i) {
    const HeaderRule& rule = by.rules->headers[i];
    RequestFlag flag = RequestFlag::none;
    if (keys[i])
      flag = rule.after_source || cookie < rule.cookies_before || any_of_first(keys, i)
                 ? RequestFlag::unused
                 : RequestFlag::valid;
    if (!s.begun()) {
      s.keys[i] = keys[i].value_or(0);
      s.key_flags[i] = flag;
      continue;
    }
    PersistenceCounters* n = counters_of(c, by, rule.entry);
    if (n == nullptr) continue;
    n->request[static_cast<size_t>(flag)].add();
    if (flag != RequestFlag::valid) continue;
    // The connection stands, so a header cannot choose any more.
    const bool stands = c.maglev != nullptr && c.member != Maglev::kNone;
    const auto may_go_there = [&](uint16_t m) {
      return c.status[c.members[m]].accepts_new() || m == c.member;
    };
    if (stands &&
        c.maglev->lookup(affinity::hash_header(c.seed, *keys[i]), may_go_there) != c.member)
      n->other_backend_on_keepalive.add();
    else
      n->kept.add();
  }
}

// The flag as it is counted: a valid cookie counts as down when somebody else answers. `elsewhere`:
// its user is not where it names for a reason that is counted apart.
void count(PersistenceCounters* n, const RequestDecision& d, RequestFlag flag, bool elsewhere) {
  if (n == nullptr) return;
  n->request[static_cast<size_t>(flag)].add();
  if (!elsewhere && flag == RequestFlag::valid) n->kept.add();
  if (!elsewhere && flag == RequestFlag::down) n->moved_down.add();
  if (d.detail != affinity::InvalidDetail::none) n->detail[static_cast<size_t>(d.detail)].add();
}

}  // namespace

bool edit_request(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, tcp::Seq first,
                  const http::RequestHead& head, const ExchangeContext& c, const RulesInUse& by) {
  const HttpRules& rules = *by.rules;
  std::array<Hit, kMaxHits> hits;
  size_t found = 0;
  if (rules.request) {
    if (c.tools == nullptr) return s.blame = Exchange::Blame::memory, false;
    const http::ScanResult r = rules.request->scan(bytes, head.bounds, c.tools->scratch, hits);
    if (r.status != http::ScanStatus::complete) return false;
    found = r.hits;
  }
  const std::span<const Hit> all(hits.data(), found);
  const auto status = [&](uint16_t member) { return c.status[c.members[member]]; };

  Asked asked;
  asked.method = head.kind;
  asked.upgrade = head.upgrade && head.kind != http::Method::connect;
  asked.asks = head.upgrade || head.kind == http::Method::connect;
  asked.at = c.now;
  asked.transaction = s.asking;
  if (c.observer != nullptr)
    c.observer->asked(s.asking, text_of(bytes, head.method), text_of(bytes, head.target));
  const Keys keys = keys_of(bytes, all);
  size_t decided = SIZE_MAX;  // the cookie that did
  for (size_t i = 0; i < rules.cookies.size(); ++i) {
    const CookieRule& rule = rules.cookies[i];
    std::array<std::string_view, kMaxHits> values;
    size_t count_of = 0;
    for (const Hit& h : all)
      if (h.look == Look::cookie && h.id == i) values[count_of++] = text_of(bytes, h.value);
    const std::span<const std::string_view> mine(values.data(), count_of);
    RequestDecision& d = asked.cookies[i];
    const bool follow =
        decided == SIZE_MAX && !rule.after_source && !any_of_first(keys, rule.headers_before);
    if (rule.policy.mode() == CookieMode::learn) {
      affinity::LearnedRequest known;
      // Whatever decides: a session that is used must not expire, and its end be heard.
      if (by.table != nullptr)
        known = affinity::learned_request(c.ids, *by.table, rule.entry, mine, c.now, status);
      asked.learned[i] = known.hash();
      if (by.table == nullptr || !follow) {
        known = {};
        if (count_of != 0) known.decision.flag = RequestFlag::unused;
      }
      d = known.decision;
      if (!s.begun()) s.learned[i] = known;
      // A user of his own on a connection that stands, as one who waits for a long answer.
      if (s.begun() && c.goes_by != nullptr && known.handle.present() && d.member == c.member)
        *c.goes_by = known.handle;
    } else {
      d = rule.policy.request(c.ids, crypter_of(c), mine, c.unix_now, status,
                              follow ? affinity::CookieUse::decide : affinity::CookieUse::decided);
    }
    if (d.member != Maglev::kNone) decided = std::min(decided, i);
    d.member = d.member == Maglev::kNone ? d.member : slot_of(c, d.member);
    if (s.begun()) {  // the connection stands, so a cookie cannot choose any more
      // One that comes with the first, before there is a backend, may have chosen it.
      const bool elsewhere = d.flag == RequestFlag::valid && c.member != Maglev::kNone &&
                             d.member != slot_of(c, c.member);
      PersistenceCounters* n = counters_of(c, by, rule.entry);
      if (elsewhere && n != nullptr) n->other_backend_on_keepalive.add();
      count(n, d, d.flag, elsewhere);
    }
  }
  read_keys(s, keys, decided, c, by);
  // One that nobody would look at for its own sake stands between others that somebody will.
  if ((rules.follows() || s.asked_count != 0) && s.down != Exchange::Down::open) {
    asked.rules = std::exchange(s.reading, 0);
    s.asked[(s.asked_first + s.asked_count) % Exchange::kMaxAsked] = asked;
    ++s.asked_count;
  } else {
    let_go(s, c.service);
    if (!s.begun()) s.asked[0] = asked;
  }

  EditList edits;
  bool fits = true;
  const bool proxy = rules.settings.forwarded == Forwarded::proxy_v1 ||
                     rules.settings.forwarded == Forwarded::proxy_v2;
  if (!s.begun() && proxy) fits = edits.add(0, 0, ProxyHeader(c, rules.settings.forwarded).bytes());
  // A client that asks for HTTP/2 is served in HTTP/1.1: nobody reads what follows that upgrade.
  std::array<http::Range, kMaxCuts> cuts;
  const size_t asks_h2c = head.h2c ? http::cut_h2c(bytes, head, cuts) : 0;
  fits = fits && asks_h2c <= cuts.size();
  size_t cut = 0;
  const auto cut_before = [&](uint32_t at) {
    for (; cut < std::min(asks_h2c, cuts.size()) && cuts[cut].begin < at; ++cut)
      fits = fits && edits.add(cuts[cut].begin, cuts[cut].size(), std::string_view());
  };
  for (const Hit& h : all) {
    if (h.look != Look::cookie) continue;
    cut_before(h.line.begin);
    if (h.remove.present()) {
      fits = fits && edits.add(h.remove.begin, h.remove.size(), std::string_view());
      continue;
    }
    const size_t n = rules.cookies[h.id].policy.strip(text_of(bytes, h.value));
    fits = fits && edits.add(h.value.begin, static_cast<uint32_t>(n), std::string_view());
  }
  cut_before(head.bounds.empty_line);
  if (rules.settings.forwarded == Forwarded::x_forwarded_for) {
    std::array<char, INET6_ADDRSTRLEN> address;
    std::array<char, 20 + INET6_ADDRSTRLEN> line;
    char* end = line.data();
    for (const std::string_view part : {std::string_view("X-Forwarded-For: "),
                                        print(c.client, address), std::string_view("\r\n")})
      end = std::copy(part.begin(), part.end(), end);
    fits = fits && edits.add(head.bounds.empty_line, 0,
                             std::string_view(line.data(), static_cast<size_t>(end - line.data())));
  }
  if (!fits) return false;
  const bool applied = edits.apply(map, c.edits, first);
  if (!applied) s.blame = Exchange::Blame::memory;
  return applied;
}

bool edit_response(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, tcp::Seq first,
                   const http::ResponseHead& head, const ExchangeContext& c) {
  EditList edits;
  // Nobody can say where it ends: whoever asks again does so on another connection, where the
  // answer gets its cookies. In front, as some take the first Connection for the only one.
  bool fits = head.doubt == http::Refusal::none ||
              edits.add(head.bounds.headers, 0, std::string_view("Connection: close\r\n"));
  const Asked& asked = s.front();
  const RulesInUse by = c.by(asked.rules);
  const HttpRules& rules = *by.rules;
  if (by.kept != nullptr) c.worker.rules_kept.add();
  if (!by.known) c.worker.rules_outlived.add();
  if (!rules.response || c.tools == nullptr) return edits.apply(map, c.edits, first) && fits;
  std::array<Hit, kMaxHits> hits;
  const http::ScanResult r = rules.response->scan(bytes, head.bounds, c.tools->scratch, hits);
  if (r.status == http::ScanStatus::scratch_bad || r.status == http::ScanStatus::bounds_bad)
    return false;
  const std::span<const Hit> all(hits.data(), r.hits);

  // RFC 9111, 3: by its status, or because it says so; never where it says that it may not.
  bool cacheable = affinity::may_be_cached(head.status), forbidden = false;
  for (const Hit& h : all) {
    const std::string_view value = text_of(bytes, h.value);
    if (h.look != Look::header) continue;
    if (h.id == static_cast<uint16_t>(ResponseHeader::expires)) cacheable = true;
    if (h.id != static_cast<uint16_t>(ResponseHeader::cache_control)) continue;
    cacheable = cacheable || affinity::allows_caching(value);
    forbidden = forbidden || affinity::forbids_caching(value);
  }
  cacheable = cacheable && !forbidden && head.status >= 200;

  const uint16_t home = by.known && s.first_answered() ? home_of(asked, c) : c.member;
  std::array<std::array<char, affinity::kMaxResponseText>, kMaxCookieRules> texts;
  std::array<affinity::ResponseEdits, kMaxCookieRules> make;
  for (size_t i = 0; i < rules.cookies.size(); ++i) {
    const CookieRule& rule = rules.cookies[i];
    bool theirs = false;
    for (const Hit& h : all) theirs = theirs || (h.look == Look::set_cookie && h.id == i);
    if (rule.policy.mode() == CookieMode::learn) {
      if (theirs) make[i].flag = affinity::ResponseFlag::passive;
    } else {
      affinity::ResponseInput in;
      if (by.known) {
        in.request = asked.cookies[i];
        in.request.member = c.member_of(in.request.member);
      } else {
        in.request.ignored = true;
      }
      // What the server sets is of the one who answers; a cookie of ours is of the user's backend.
      in.member = rule.policy.mode() == CookieMode::insert ? home : c.member;
      in.status = head.status;
      in.post = asked.method == http::Method::post;
      in.server_cookie = theirs;
      in.cacheable = cacheable;
      in.now = c.unix_now;
      make[i] = rule.policy.response(c.ids, crypter_of(c), in, texts[i]);
      if (make[i].lines.find("\r\nCache-Control:") != std::string_view::npos) cacheable = false;
    }
    if (PersistenceCounters* n = counters_of(c, by, rule.entry))
      n->response[static_cast<size_t>(make[i].flag)].add();
  }
  s.first = Exchange::First::answered;

  fits = fits && r.status == http::ScanStatus::complete;
  for (const Hit& h : all) {
    if (h.look != Look::set_cookie) continue;
    const CookieRule& rule = rules.cookies[h.id];
    if (rule.policy.mode() == CookieMode::learn && by.table != nullptr &&
        c.member != Maglev::kNone) {
      std::string_view field = text_of(bytes, {h.name.begin, h.line.end});
      field = field.substr(0, field.find_last_not_of("\r\n") + 1);
      affinity::StickHandle stored;
      if (const auto cookie = affinity::parse_set_cookie(field))
        affinity::learn_response(c.ids, *by.table, rule.entry, *cookie,
                                 by.known ? asked.learned[h.id] : 0, c.member, c.unix_now, c.now,
                                 stored);
      if (c.goes_by != nullptr && stored.present()) *c.goes_by = stored;
      continue;
    }
    switch (make[h.id].server) {
      case affinity::ServerCookie::keep:
        break;
      case affinity::ServerCookie::remove:
        fits = edits.add(h.line.begin, h.line.size(), std::string_view()) && fits;
        break;
      case affinity::ServerCookie::replace_value:
        fits = edits.add(h.value.begin, h.value.size(), make[h.id].value) && fits;
        break;
      case affinity::ServerCookie::prepend_value:
        fits = edits.add(h.value.begin, 0, make[h.id].value) && fits;
        break;
    }
  }
  for (size_t i = 0; i < rules.cookies.size(); ++i)
    fits = edits.add(head.bounds.empty_line, 0, make[i].lines) && fits;
  return edits.apply(map, c.edits, first) && fits;
}

size_t outcomes(const Exchange& s, const ExchangeContext& c, std::span<const uint16_t> tried,
                std::span<affinity::CookieOutcome, kMaxCookieRules> out) {
  const RulesInUse by = c.by(s.asked[0].rules);
  const size_t n = by.known ? std::min(by.rules->cookies.size(), out.size()) : 0;
  for (size_t i = 0; i < n; ++i) {
    const RequestDecision& d = s.asked[0].cookies[i];
    out[i] = {c.member_of(d.member), d.flag, d.draining};
    if (std::find(tried.begin(), tried.end(), d.member) != tried.end())
      out[i].member = Maglev::kNone;
  }
  return n;
}

size_t keys(const Exchange& s, const ExchangeContext& c,
            std::span<std::optional<uint64_t>, kMaxHeaderRules> out) {
  const RulesInUse by = c.by(s.asked[0].rules);
  const size_t n = by.known ? by.rules->headers.size() : 0;
  for (size_t i = 0; i < n; ++i)
    out[i] = s.key_flags[i] == RequestFlag::none ? std::nullopt : std::optional(s.keys[i]);
  return n;
}

RequestFlag flag_of_key(const Exchange& s, const ExchangeContext& c, size_t header,
                        uint16_t member) {
  if (s.key_flags[header] != RequestFlag::valid) return s.key_flags[header];
  const bool first =
      member != Maglev::kNone && c.maglev != nullptr &&
      c.maglev->first_choice(affinity::hash_header(c.seed, s.keys[header])) == member;
  return first ? RequestFlag::valid : RequestFlag::down;
}

void count_first(const Exchange& s, const ExchangeContext& c, uint16_t member) {
  const RulesInUse by = c.by(s.asked[0].rules);
  for (size_t i = 0; by.known && i < by.rules->cookies.size(); ++i) {
    PersistenceCounters* n = counters_of(c, by, by.rules->cookies[i].entry);
    const RequestDecision& d = s.asked[0].cookies[i];
    const RequestFlag flag = d.flag == RequestFlag::valid && c.member_of(d.member) != member
                                 ? RequestFlag::down
                                 : d.flag;
    count(n, d, flag, flag != d.flag);
    if (flag != d.flag && n != nullptr) n->redispatched.add();
  }
  for (size_t i = 0; by.known && i < by.rules->headers.size(); ++i) {
    PersistenceCounters* n = counters_of(c, by, by.rules->headers[i].entry);
    if (n == nullptr) continue;
    const RequestFlag flag = flag_of_key(s, c, i, member);
    n->request[static_cast<size_t>(flag)].add();
    if (flag == RequestFlag::valid) n->kept.add();
    if (flag == RequestFlag::down) n->moved_down.add();
    if (flag != s.key_flags[i]) n->redispatched.add();
  }
}

}  // namespace limpet::dataplane
