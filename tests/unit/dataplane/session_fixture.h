// One connection's HTTP without a worker: streams in whatever pieces a test likes, and what their
// receivers get.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "session.h"

namespace limpet::dataplane::session_test {

using affinity::CookieMode;
using affinity::CookieSettings;
using affinity::RequestFlag;
using affinity::ResponseFlag;
using tcp::Seq;

inline CookieSettings cookie(CookieMode mode, std::string name = "SRV") {
  CookieSettings s;
  s.mode = mode;
  s.service = "web";
  s.name = std::move(name);
  s.sealed = false;
  s.path.clear();
  s.no_cache = false;
  s.indirect = mode == CookieMode::insert;
  return s;
}

inline SessionRules rules_of(const std::vector<CookieSettings>& cookies,
                             Forwarded forwarded = Forwarded::none) {
  SessionRules r;
  r.forwarded = forwarded;
  http::SnifferSpec request, response;
  for (const CookieSettings& s : cookies) {
    const auto id = static_cast<uint16_t>(r.cookies.size());
    auto policy = affinity::CookiePolicy::compile(s);
    EXPECT_TRUE(policy.ok()) << policy.error();
    request.names.push_back({http::Look::cookie, s.name, id, policy->strips_requests()});
    response.names.push_back({http::Look::set_cookie, s.name, id, false});
    r.cookies.push_back({std::move(*policy), static_cast<uint8_t>(id), false});
  }
  if (cookies.empty()) return r;
  response.names.push_back(
      {http::Look::header, "Cache-Control", SessionRules::kCacheControl, false});
  r.request = http::Sniffer::compile(request).value();
  r.response = http::Sniffer::compile(response).value();
  return r;
}

// One direction as the splice sees it: all octets that have come, in order.
struct Stream {
  tcp::StreamMap map{Seq{0xfffffff0u}, Seq{5000}};  // the numbers wrap soon
  Seq begin{0xfffffff0u};
  std::string came;
  bool fin = false;

  std::span<const uint8_t> beyond() const {
    const auto skip = static_cast<size_t>(map.frontier() - begin);
    if (skip >= came.size()) return {};
    return {reinterpret_cast<const uint8_t*>(came.data()) + skip, came.size() - skip};
  }
  void shown(const tcp::Shown& s) {
    map.advance(map.frontier() + s.final);
    if (s.open) map.open();
  }
  // What the receiver has got so far.
  std::string edited(tcp::EditPool& pool) {
    std::string out;
    Seq end = begin + static_cast<uint32_t>(came.size());
    if (!map.covers(end)) end = map.frontier();
    tcp::StreamMap::Cut cut(map, pool, begin, end, false);
    tcp::Emission e;
    while (end > begin && cut.next(100000, e))
      for (unsigned i = 0; i < e.pieces; ++i) {
        const tcp::Piece& p = e.piece[i];
        if (p.edit == tcp::kNoEdit)
          out += came.substr(p.offset, p.length);
        else
          out.append(reinterpret_cast<const char*>(pool.bytes(p.edit).data()) + p.offset, p.length);
      }
    return out;
  }
};

class SessionTest : public testing::Test {
 protected:
  SessionTest() { place({7, 8, 9}); }
  void use(SessionRules r) {
    rules = std::move(r);
    tools = std::make_unique<SessionTools>();
    for (const auto* s : {&rules.request, &rules.response})
      if (*s) {
        EXPECT_TRUE(tools->scratch.fit(**s).ok());
      }
  }
  SessionContext context() {
    return {.rules = rules,
            .ids = ids,
            .pool = 0,
            .members = members,
            .backends = backends,
            .status = status,
            .tools = tools.get(),
            .table = table.get(),
            .counters = counters,
            .worker = worker,
            .edits = edits,
            .client = IpAddress::v4(192, 0, 2, 7),
            .vip = IpAddress::v4(198, 51, 100, 1),
            .client_port = be16::from(40000),
            .vip_port = be16::from(80),
            .member = member,
            .now = now,
            .unix_now = unix_now};
  }
  void up(const std::string& bytes, bool fin = false) {
    client.came += bytes;
    client.fin = client.fin || fin;
    look_up();
  }
  void look_up() {
    if (client.map.is_open()) return;
    if (client.map.frontier() > client.begin + static_cast<uint32_t>(client.came.size())) return;
    client.shown(show_requests(session, client.map, client.beyond(), client.fin, context()));
  }
  void down(const std::string& bytes, bool fin = false) {
    backend.came += bytes;
    backend.fin = backend.fin || fin;
    if (backend.map.is_open()) return;
    if (backend.map.frontier() > backend.begin + static_cast<uint32_t>(backend.came.size())) return;
    backend.shown(show_responses(session, backend.map, backend.beyond(), backend.fin, context()));
    while (session.call_up) {
      session.call_up = false;
      look_up();
    }
  }
  std::string requests() { return client.edited(edits); }
  std::string responses() { return backend.edited(edits); }
  uint64_t asked(RequestFlag f) { return counters[0].request[static_cast<size_t>(f)].get(); }
  uint64_t answered(ResponseFlag f) { return counters[0].response[static_cast<size_t>(f)].get(); }
  affinity::CookieOutcome outcome() {
    std::array<affinity::CookieOutcome, kMaxCookieRules> out;
    outcomes(session, context(), {}, out);
    return out[0];
  }

  SessionRules rules;
  std::unique_ptr<SessionTools> tools;
  affinity::BackendIds ids{{"s0", "s1", "s2"}};
  std::vector<uint16_t> members;
  // The pool 0 of `members`, as the builder numbers it.
  void place(std::vector<uint16_t> slots) {
    members = std::move(slots);
    backends.assign(10, {});
    for (size_t m = 0; m < members.size(); ++m) {
      backends[members[m]].configured = true;
      backends[members[m]].pool = 0;
      backends[members[m]].member = static_cast<uint16_t>(m);
    }
  }
  std::vector<BackendEntry> backends;
  std::vector<balance::BackendStatus> status = [] {
    std::vector<balance::BackendStatus> s(10);
    for (auto& b : s) b.health = balance::Health::up;
    return s;
  }();
  std::array<PersistenceCounters, affinity::Policy::kMaxEntries> counters;
  WorkerCounters worker;
  tcp::EditPool edits{1 << 20};
  std::unique_ptr<affinity::StickTable> table;
  uint16_t member = 1;
  Instant now{1000000000};
  uint64_t unix_now = 1700000000;
  Session session;
  Stream client, backend;
};

inline const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
inline const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

}  // namespace limpet::dataplane::session_test
