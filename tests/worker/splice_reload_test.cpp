// A reload while requests of a spliced service are under way: they are answered by the rules by
// which they were read, and what is kept for that goes when nobody needs it any more.
#include <rte_ring_elem.h>

#include "limpet/config/load.h"
#include "splice_fixture.h"

namespace limpet::worker_test {
namespace {

using dataplane::WorkerCounters;

const std::string kWeb =
    R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web";
    persistence = ( { type = "source"; } );)";

std::string service(const std::string& settings) {
  return with(
      spliced(), kWeb,
      R"(mode = "splice"; vip = "10.1.0.100"; port = 80; protocol = "tcp"; pool = "web"; )" +
          settings);
}

std::string entry(const std::string& mode, const std::string& more = "",
                  const std::string& name = "SRV") {
  return "{ type = \"cookie\"; mode = \"" + mode + "\"; session_name = \"" + name +
         "\"; value = \"plain\"; " +
         (mode == "insert" ? "no_cache = false; http_only = false; " : "") + more + "}";
}
std::string list(const std::string& entries) {
  return "persistence = ( " + entries + ", { type = \"source\"; } ); ";
}
std::string by(const std::string& mode) {
  return service(list(entry(mode)));
}

const std::string kHead = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n";
const std::string kTheirs = "Set-Cookie: SRV=abc\r\n";

class SpliceReload : public SpliceTest {
 protected:
  explicit SpliceReload(const std::string& config = by("insert")) : SpliceTest(config) {}

  void reload(const std::string& config) {
    rig.reload(config);
    rig.run();
  }
  // The n-th change of an attribute.
  static std::string change(unsigned n) {
    return service(list(entry("insert", "attributes = [ \"n=" + std::to_string(n) + "\" ]; ")));
  }
  // What the client gets of this answer to the first request, which comes `after` octets.
  std::string answer(const std::string& text, uint32_t after = 0) {
    const auto out = rig.send(
        kBack,
        from_backend(
            {.flags = kAck | kPsh, .seq = 7001 + after, .ack = asked, .data = bytes_of(text)}));
    std::string got;
    for (const Left& l : out)
      if (l.port == kFront) {
        const Bytes data = look(l.frame).data;
        got.append(data.begin(), data.end());
      }
    return got;
  }
  std::vector<Left> says(const std::string& text, uint32_t seq) {
    asked = std::max(asked, seq + static_cast<uint32_t>(text.size()));
    return rig.send(
        kFront, client({.flags = kAck | kPsh, .seq = seq, .ack = isn + 1, .data = bytes_of(text)}));
  }
  std::string name() {  // of who serves
    return rig.publisher().slots().backends[rig.backend_at(backend, 8080)].name;
  }
  std::string cookie(const std::string& its_name = "SRV") {
    return "Set-Cookie: " + its_name + "=" + name() + "; path=/\r\n";
  }
  size_t kept() { return rig.publisher().slots().services[rig.service("web")].kept.size(); }
  void looks() {
    for (int i = 0; i < 2; ++i) {
      rig.poll();
      rig.control_turn();
    }
  }
  uint64_t count(dataplane::Counter WorkerCounters::*c) { return rig.sum(c); }

  uint32_t asked = 1028;  // the end of what the client has said
};

// What a reload may do to a list of one entry; each for itself.
std::vector<std::string> changes(const std::string& mode) {
  const std::string own = list(entry(mode));
  return {
      service("limits = { head_bytes = \"2k\"; }; " + own),
      service("forwarded = \"x-forwarded-for\"; " + own),
      service("forwarded = \"proxy-v1\"; " + own),
      service(list(mode == "insert" ? entry(mode, "secure = true; ") : entry("insert", "", "B"))),
      service(list(entry("insert", "", "B") + ", " + entry(mode))),
      service(list(entry(mode) + ", " + entry("rewrite", "", "B"))),
      service(list(entry(mode == "prefix" ? "rewrite" : "prefix"))),
      service("persistence = ( { type = \"source\"; } );"),
      with(service("persistence = ( { type = \"source\"; } );"), "mode = \"splice\"; vip", "vip"),
  };
}

class EachMode : public testing::TestWithParam<const char*> {};

TEST_P(EachMode, an_answer_under_way_is_edited_as_its_request_was_read) {
  const std::string mode = GetParam();
  struct Once : SpliceReload {
    explicit Once(const std::string& mode) : SpliceReload(by(mode)) {}
    void TestBody() override {}
    void run(const std::string& mode, const std::string& config) {
      establish();
      reload(config);
      EXPECT_EQ(kept(), 1u);
      looks();
      EXPECT_EQ(kept(), 1u) << "its answer is still to come";
      const std::string edited = mode == "insert"   ? cookie()
                                 : mode == "prefix" ? "Set-Cookie: SRV=" + name() + "~abc\r\n"
                                                    : "Set-Cookie: SRV=" + name() + "\r\n";
      EXPECT_EQ(answer(kHead + kTheirs + "\r\nok"), kHead + edited + "\r\nok") << config;
      EXPECT_EQ(count(&WorkerCounters::rules_kept), 1u);
      EXPECT_EQ(rig.rules_in_use(), 0u);
      looks();
      EXPECT_EQ(kept(), 0u);
    }
  };
  for (const std::string& config : changes(mode)) Once(mode).run(mode, config);
}
INSTANTIATE_TEST_SUITE_P(SpliceReload, EachMode, testing::Values("insert", "rewrite", "prefix"));

TEST_F(SpliceReload, requests_of_before_and_after_are_answered_each_by_its_own) {
  establish();
  says("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n", asked);
  reload(service("forwarded = \"x-forwarded-for\"; " + list(entry("insert", "", "NEW"))));
  const auto out = says("GET /3 HTTP/1.1\r\nHost: a\r\n\r\n", asked);
  EXPECT_NE(only(out, kBack).data.size(), 0u);
  EXPECT_EQ(rig.rules_in_use(), 3u);
  asked += 27;  // what was inserted
  const std::string ok = kHead + "\r\nok";
  EXPECT_EQ(answer(ok + ok + ok), kHead + cookie() + "\r\nok" + kHead + cookie() + "\r\nok" +
                                      kHead + cookie("NEW") + "\r\nok");
  EXPECT_EQ(rig.rules_in_use(), 0u);
}

TEST_F(SpliceReload, an_interim_answer_lets_go_of_nothing_and_a_chunked_one_of_its_head) {
  establish();
  reload(change(1));
  const std::string interim = "HTTP/1.1 100 Continue\r\n\r\n";
  EXPECT_EQ(answer(interim), interim);
  looks();
  EXPECT_EQ(kept(), 1u);
  const std::string head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";
  const auto after = static_cast<uint32_t>(interim.size());
  EXPECT_EQ(answer(head + "\r\n2\r\nok\r\n", after), head + cookie() + "\r\n2\r\nok\r\n");
  looks();
  EXPECT_EQ(kept(), 0u) << "though the answer has not ended";
}

TEST_F(SpliceReload, nothing_changes_for_a_service_that_is_as_it_was) {
  establish();
  const auto rules = rig.publisher().current()->services[rig.service("web")].splice->rules;
  reload(with(by("insert"), "{ name = \"echo6\"; vip = \"fd00:1::100\"",
              "{ name = \"other\"; vip = \"fd00:1::100\""));
  EXPECT_EQ(rig.publisher().current()->services[rig.service("web")].splice->rules, rules);
  EXPECT_EQ(kept(), 0u);
  EXPECT_EQ(answer(kHead + "\r\nok"), kHead + cookie() + "\r\nok");
  EXPECT_EQ(count(&WorkerCounters::rules_kept), 0u);
}

TEST_F(SpliceReload, rules_that_come_back_take_no_place) {
  establish();
  for (unsigned i = 0; i < 20; ++i) {
    reload(change(i % 2));
    EXPECT_LE(kept(), 2u);
  }
  reload(by("insert"));
  EXPECT_EQ(answer(kHead + "\r\nok"), kHead + cookie() + "\r\nok");
  EXPECT_EQ(count(&WorkerCounters::rules_kept), 0u) << "they are those of today again";
  looks();
  EXPECT_EQ(kept(), 0u);
}

TEST_F(SpliceReload, eight_changes_are_kept_and_a_ninth_gives_up_the_first) {
  establish();
  for (unsigned i = 1; i <= 8; ++i) reload(change(i));
  looks();
  EXPECT_EQ(kept(), 1u) << "nobody was read by those between";
  EXPECT_EQ(answer(kHead + "\r\nok"), kHead + cookie() + "\r\nok");
}

// One request read by each of them: the first is the oldest.
class SpliceReloads : public SpliceReload {
 protected:
  void SetUp() override {
    establish();
    for (unsigned i = 1; i <= 7; ++i) {
      reload(change(i));
      says("GET / HTTP/1.1\r\nHost: a\r\n\r\n", asked);
      looks();
    }
    reload(change(8));
    looks();
    ASSERT_EQ(kept(), dataplane::kMaxKeptRules);
    ASSERT_EQ(rig.rules_in_use(), 8u);
    EXPECT_TRUE(rig.publisher().crowded(next()).size() == 1);
  }
  static config::Document next() { return config_of(change(9)); }
  static config::Document config_of(const std::string& text) {
    return config::load_text(text, "next").document;
  }
  std::string wanted(unsigned first) {
    std::string all;
    for (unsigned i = first; i <= 7; ++i)
      all += kHead + "Set-Cookie: SRV=" + name() + "; path=/" +
             (i == 0 ? "" : "; n=" + std::to_string(i)) + "\r\n\r\nok";
    return all;
  }
  std::string answers() {
    std::string all;
    for (unsigned i = 0; i < 8; ++i) all += kHead + "\r\nok";
    return answer(all);
  }
};

TEST_F(SpliceReloads, each_of_eight_requests_is_answered_by_its_own_rules) {
  EXPECT_EQ(answers(), wanted(0));
  EXPECT_EQ(count(&WorkerCounters::rules_kept), 8u);
  EXPECT_EQ(rig.rules_in_use(), 0u);
  EXPECT_TRUE(rig.publisher().crowded(next()).size() == 1) << "before control has looked";
  looks();
  EXPECT_EQ(kept(), 0u);
  EXPECT_TRUE(rig.publisher().crowded(next()).empty());
}

TEST_F(SpliceReloads, what_a_ninth_reload_gives_up_is_answered_by_its_rules_and_counted) {
  reload(change(9));
  EXPECT_EQ(kept(), dataplane::kMaxKeptRules);
  EXPECT_EQ(answers(), kHead + "\r\nok" + wanted(1)) << "the first request's cookie is not known";
  EXPECT_EQ(count(&WorkerCounters::rules_outlived), 1u);
  EXPECT_EQ(count(&WorkerCounters::rules_kept), 7u);
  EXPECT_EQ(rig.rules_in_use(), 0u);
  looks();
  EXPECT_EQ(kept(), 0u);
}

TEST_F(SpliceReloads, what_was_given_up_is_never_taken_for_what_has_its_place) {
  for (unsigned i = 9; i < 9 + 3 * dataplane::kRulesPlaces; ++i) reload(change(i));
  const std::string plain = kHead + "\r\nok";
  std::string all;
  for (unsigned i = 0; i < 8; ++i) all += plain;
  EXPECT_EQ(answers(), all);
  EXPECT_EQ(count(&WorkerCounters::rules_outlived), 8u);
  EXPECT_EQ(rig.rules_in_use(), 0u);
  looks();
  EXPECT_EQ(kept(), 0u) << "places are free once their former requests are over";
}

TEST_F(SpliceReloads, only_a_change_of_the_service_itself_is_crowded) {
  EXPECT_TRUE(rig.publisher().crowded(config_of(change(8))).empty()) << "as it is";
  EXPECT_TRUE(rig.publisher().crowded(config_of(change(3))).empty()) << "kept, so not made anew";
  EXPECT_EQ(rig.publisher().crowded(config_of(with(change(8), "mode = \"splice\"; vip", "vip"))),
            std::vector<uint16_t>{rig.service("web")});
}

// ---- the first request: its head, its choice, its backend

TEST_F(SpliceReload, a_head_that_has_begun_is_not_refused_for_a_limit_that_is_new) {
  greet();
  std::string request = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1000, 'x');
  says(request, 1001);
  reload(service("limits = { head_bytes = \"1k\"; }; " + list(entry("insert", "", "NEW"))));
  says(std::string(300, 'x'), asked);
  const Seen syn = only(says("\r\n\r\n", asked), kBack);
  backend = syn.to;
  source_port = syn.from_port;
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  EXPECT_EQ(answer(kHead + "\r\nok"), kHead + cookie() + "\r\nok");
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_bad_heads), 0u);
}

TEST_F(SpliceReload, a_head_that_begins_afterwards_is_read_by_the_new_limit) {
  greet();
  reload(service("limits = { head_bytes = \"1k\"; }; " + list(entry("insert"))));
  says("GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(1000, 'x'), 1001);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_bad_heads), 1u);
  EXPECT_EQ(rig.rules_in_use(), 0u) << "limpet's own answer is edited by no rules";
}

class SpliceTwoCookies : public SpliceReload {
 protected:
  SpliceTwoCookies()
      : SpliceReload(service("retries = 0; " +
                             list(entry("insert", "", "FIRST") + ", " + entry("insert")))) {}
};

TEST_F(SpliceTwoCookies, the_next_backend_is_chosen_by_the_list_of_the_request) {
  greet();
  const Seen syn = only(says("GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=s3\r\n\r\n", 1001), kBack);
  backend = syn.to;
  source_port = syn.from_port;
  EXPECT_EQ(name(), "s3");
  reload(service("retries = 0; " + list(entry("insert"))));
  const Seen next = only(rig.send(kBack, from_backend({.flags = kRst | kAck, .ack = 1001})), kBack);
  EXPECT_EQ(rig.only_flow().reason, static_cast<uint8_t>(affinity::Reason::cookie_down))
      << "its cookie is the second of that list, and no other's";
  backend = next.to;
  source_port = next.from_port;
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  asked -= 16;  // the cookie was taken out
  EXPECT_EQ(answer(kHead + "\r\nok"), kHead + cookie("FIRST") + cookie() + "\r\nok");
  for (const auto& n : rig.stats().persistence[rig.service("web")]) {
    for (const dataplane::Counter& c : n.request) EXPECT_EQ(c.get(), 0u);
    EXPECT_EQ(n.decided.get(), 0u) << "the entries of today did nothing";
  }
}

TEST_F(SpliceReload, the_session_log_names_the_cookies_of_the_request) {
  reload(with(by("insert"), "pool = \"web\"; persistence",
              "pool = \"web\"; session_log = true; persistence"));
  greet();
  const Seen syn = only(says("GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1001), kBack);
  backend = syn.to;
  source_port = syn.from_port;
  const uint32_t number =
      rig.publisher().current()->services[rig.service("web")].splice->rules->number;
  reload(with(change(1), "pool = \"web\"; persistence",
              "pool = \"web\"; session_log = true; persistence"));
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  dataplane::SessionNote n;
  ASSERT_EQ(rte_ring_sc_dequeue_elem(rig.shared().rings[0].notes, &n, sizeof n), 0);
  EXPECT_EQ(n.cookies, 1);
  EXPECT_EQ(n.rules, number);
  const dataplane::HttpRules* rules =
      rig.publisher().slots().services[rig.service("web")].rules(n.rules);
  ASSERT_NE(rules, nullptr);
  EXPECT_EQ(rules->cookies[0].policy.name(), "SRV");
}

// ---- services and backends that go

TEST_F(SpliceReload, an_answer_of_a_removed_service_gets_its_cookie) {
  establish();
  const std::string text = by("insert");
  const size_t from = text.find("  { name = \"web\"; mode"),
               to = text.find("  { name = \"web6\"; vip");
  const uint16_t backend_slot = rig.backend_at(backend, 8080);
  reload(text.substr(0, from) + text.substr(to));
  ASSERT_FALSE(rig.publisher().current()->services[0].configured);
  EXPECT_EQ(answer(kHead + "\r\nok"),
            kHead + "Set-Cookie: SRV=" + rig.publisher().slots().backends[backend_slot].name +
                "; path=/\r\n\r\nok");
}

TEST_F(SpliceReload, an_answer_of_a_pool_with_another_name_gets_its_cookie) {
  establish();
  const std::string before = name();
  reload(with(with(by("insert"), "pool = \"web\";", "pool = \"shop\";"),
              "{ name = \"web\"; maglev_size", "{ name = \"shop\"; maglev_size"));
  ASSERT_FALSE(rig.publisher().slots().backends[rig.backend_at(backend, 8080)].configured);
  EXPECT_EQ(answer(kHead + "\r\nok"), kHead + "Set-Cookie: SRV=" + before + "; path=/\r\n\r\nok");
}

class SpliceSealed : public SpliceTest {
 protected:
  static Rig::Setup setup() {
    Rig::Setup s;
    s.config = config();
    s.keys = affinity::CookieKeys::first({1, 2, 3});
    return s;
  }
  static std::string config() {
    return service(list(R"({ type = "cookie"; mode = "insert"; session_name = "SRV"; })")) +
           "cookie_keys = { file = \"/nowhere/keys\"; };\n";
  }
  SpliceSealed() : SpliceTest(setup()) {}
  bool sealed(uint32_t seq) {
    const Seen out = only(
        rig.send(kBack,
                 from_backend(
                     {.flags = kAck, .seq = seq, .ack = 1028, .data = bytes_of(kHead + "\r\nok")})),
        kFront);
    const std::string text(out.data.begin(), out.data.end());
    const size_t at = text.find("Set-Cookie: SRV=");
    return at != std::string::npos && text.find(';', at) == at + 16 + affinity::kSealedSize;
  }
};

TEST_F(SpliceSealed, an_answer_under_way_is_sealed_though_there_are_no_keys_any_more) {
  establish();
  rig.publisher().set_keys({});
  rig.reload(by("rewrite"));
  rig.run();
  EXPECT_TRUE(sealed(7001));
  for (int i = 0; i < 12; ++i) {
    rig.pass(500ms);
    rig.control_turn();
  }
  EXPECT_FALSE(rig.publisher().current()->tools[0]->crypter.has_value());
}

TEST_F(SpliceSealed, what_is_left_of_a_removed_service_opens_and_seals_as_before) {
  establish();
  const std::string text = spliced();
  const size_t from = text.find("  { name = \"web\"; mode"),
               to = text.find("  { name = \"web6\"; vip");
  rig.publisher().set_keys({});
  rig.reload(text.substr(0, from) + text.substr(to));
  rig.run();
  EXPECT_TRUE(sealed(7001));
  const std::string again =
      "GET / HTTP/1.1\r\nHost: a\r\nCookie: SRV=AAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n";
  rig.send(kFront, client({.flags = kAck, .seq = 1028, .ack = isn + 1, .data = bytes_of(again)}));
  EXPECT_EQ(rig.flows(), 1u);
}

// ---- every end lets go

class SpliceLetsGo : public SpliceReload {
 protected:
  void SetUp() override {
    establish();
    reload(change(1));
    EXPECT_EQ(rig.rules_in_use(), 1u);
  }
  void over() {
    EXPECT_EQ(rig.rules_in_use(), 0u);
    looks();
    EXPECT_EQ(kept(), 0u);
  }
};

TEST_F(SpliceLetsGo, when_the_client_resets) {
  rig.send(kFront, client({.flags = kRst, .seq = 1028, .ack = isn + 1}));
  over();
  EXPECT_EQ(rig.flows(), 1u) << "its record stays for a moment";
}
TEST_F(SpliceLetsGo, when_the_backend_resets) {
  rig.send(kBack, from_backend({.flags = kRst | kAck, .seq = 7001, .ack = 1028}));
  over();
}
TEST_F(SpliceLetsGo, when_the_backend_dies) {
  rig.down(rig.backend_at(backend, 8080));
  rig.run();
  over();
}
TEST_F(SpliceLetsGo, when_both_ends_close_without_an_answer) {
  rig.send(kBack, from_backend({.flags = kFin | kAck, .seq = 7001, .ack = 1028}));
  rig.send(kFront, client({.flags = kFin | kAck, .seq = 1028, .ack = isn + 2}));
  over();
}
TEST_F(SpliceLetsGo, when_the_answer_does_not_come) {
  rig.send(kBack, from_backend({.flags = kAck, .seq = 7001, .ack = 1028}));
  rig.pass(61s);
  EXPECT_EQ(rig.sum(&WorkerCounters::splice_answers), 1u) << "504";
  over();
}
TEST_F(SpliceLetsGo, when_its_client_begins_anew) {
  rig.send(kFront, client({.flags = kSyn, .seq = 900000, .options = {2, 4, 5, 0xb4, 4, 2, 1, 1}}));
  rig.pass(70s);
  rig.pass(20s);
  over();
}
TEST_F(SpliceLetsGo, when_limpet_ends) {
  // The rig's own look at the end would be the test; a request under way is no leak.
  EXPECT_EQ(rig.rules_in_use(), 1u);
}

TEST_F(SpliceReload, a_head_that_never_ends_lets_go_when_it_is_refused) {
  greet();
  says("GET / HTT", 1001);
  EXPECT_EQ(rig.rules_in_use(), 1u);
  rig.pass(30s);
  EXPECT_EQ(rig.rules_in_use(), 0u);
}

TEST_F(SpliceReload, a_tunnel_holds_none) {
  greet();
  const std::string ask =
      "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
  const Seen syn = only(says(ask, 1001), kBack);
  backend = syn.to;
  source_port = syn.from_port;
  rig.send(
      kBack,
      from_backend({.flags = kSyn | kAck, .seq = 7000, .ack = 1001, .options = {2, 4, 5, 0xb4}}));
  reload(change(1));
  EXPECT_EQ(rig.rules_in_use(), 1u);
  const std::string granted =
      "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n";
  EXPECT_EQ(answer(granted + "\r\n"), granted + cookie() + "\r\n");
  EXPECT_EQ(rig.rules_in_use(), 0u);
  looks();
  EXPECT_EQ(kept(), 0u);
}

}  // namespace
}  // namespace limpet::worker_test
