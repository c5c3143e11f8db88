// One connection's HTTP without a worker: streams in whatever pieces a test likes, and what their
// receivers get.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "exchange_stream.h"

namespace limpet::dataplane::exchange_test {

class ExchangeTest : public testing::Test {
 protected:
  ExchangeTest() { place({7, 8, 9}); }
  void use(HttpRules r) {
    rules = std::move(r);
    ++made;
    rules.number = static_cast<uint32_t>(made * kRulesPlaces + made % kRulesPlaces);
    tools = std::make_unique<ExchangeTools>();
    fit(rules);
  }
  void fit(const HttpRules& r) {
    for (const auto* s : {&r.request, &r.response})
      if (*s) {
        EXPECT_TRUE(tools->scratch.fit(**s).ok());
      }
  }
  // As control does it; `counted`: entries of the list that stay at their place.
  void reload(HttpRules r, uint8_t counted = 0xff) {
    auto before = std::make_shared<SpliceEntry>();
    before->rules = std::make_shared<const HttpRules>(std::move(rules));
    before->table = table;
    old_rules.push_back({std::move(before), affinity::Policy("web"), counted});
    use(std::move(r));
    for (const KeptRules& k : old_rules) fit(*k.splice->rules);
  }
  // Requests that hold rules; of one place, or all.
  uint64_t held(size_t place) { return service.rules_in_use[place].get(); }
  uint64_t held() {
    uint64_t n = 0;
    for (const Counter& c : service.rules_in_use) n += c.get();
    return n;
  }
  ExchangeContext context() {
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
            .service = service,
            .edits = edits,
            .client = IpAddress::v4(192, 0, 2, 7),
            .vip = IpAddress::v4(198, 51, 100, 1),
            .client_port = be16::from(40000),
            .vip_port = be16::from(80),
            .member = member,
            .now = now,
            .unix_now = unix_now,
            .kept = old_rules};
  }
  void up(const std::string& bytes, bool fin = false) {
    client.came += bytes;
    client.fin = client.fin || fin;
    look_up();
  }
  void look_up() {
    if (client.map.is_open()) return;
    if (client.map.frontier() > client.begin + static_cast<uint32_t>(client.came.size())) return;
    client.shown(show_requests(exchange, client.map, client.beyond(), client.fin, context()));
  }
  void down(const std::string& bytes, bool fin = false) {
    backend.came += bytes;
    backend.fin = backend.fin || fin;
    if (backend.map.is_open()) return;
    if (backend.map.frontier() > backend.begin + static_cast<uint32_t>(backend.came.size())) return;
    backend.shown(show_responses(exchange, backend.map, backend.beyond(), backend.fin, context()));
    while (exchange.call_up) {
      exchange.call_up = false;
      look_up();
    }
  }
  std::string requests() { return client.edited(edits); }
  std::string responses() { return backend.edited(edits); }
  uint64_t asked(RequestFlag f) { return counters[0].request[static_cast<size_t>(f)].get(); }
  uint64_t answered(ResponseFlag f) { return counters[0].response[static_cast<size_t>(f)].get(); }
  affinity::CookieOutcome outcome() {
    std::array<affinity::CookieOutcome, kMaxCookieRules> out;
    outcomes(exchange, context(), {}, out);
    return out[0];
  }

  HttpRules rules;
  std::unique_ptr<ExchangeTools> tools;
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
  std::array<PersistenceCounters, affinity::kMaxEntries> counters;
  WorkerCounters worker;
  ServiceCounters service;
  void count_anew() {
    for (Counter& n : service.refused) n.set(0);
    for (Counter& n : counters[0].request) n.set(0);
  }
  template <class Reason>
  uint64_t refusals(Reason r) {
    return service.refused[refused(r)].get();
  }
  tcp::EditPool edits{1 << 20};
  std::shared_ptr<affinity::StickTable> table;
  std::vector<KeptRules> old_rules;
  uint32_t made = 0;  // rules
  uint16_t member = 1;
  Instant now{1000000000};
  uint64_t unix_now = 1700000000;
  Exchange exchange;
  Stream client, backend;
};

inline const std::string kGet = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
inline const std::string kOk = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

}  // namespace limpet::dataplane::exchange_test
