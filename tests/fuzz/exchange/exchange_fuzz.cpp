// Any octets as the two streams of a spliced connection, in any pieces, under every kind of
// persistence list. A crash, a sanitizer report or a broken promise is a finding; above all, octets
// of a request that pass without having been looked at. What has passed is judged by the framers
// alone, which have fuzzers of their own.
//
// Input: list, flags (the bits are named below), seed of the pieces, length of what the client says
// in two octets, that, and what the backend says.
#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../http_pieces.h"
#include "exchange_stream.h"

namespace limpet::dataplane::fuzz {
namespace {

using affinity::CookieMode;
using affinity::CookieSettings;
using affinity::HeaderSettings;
using exchange_test::cookie;
using exchange_test::rules_of;
using exchange_test::Stream;
using http::Fed;
using http::fuzz::Cutter;
using http::fuzz::require;

constexpr uint8_t kForwarded = 3;  // by number
constexpr uint8_t kClientCloses = 4;
constexpr uint8_t kBackendCloses = 8;
constexpr uint8_t kLittleRoom = 16;  // for edits
constexpr uint8_t kNoTable = 32;
constexpr uint8_t kShortHeads = 64;  // is the limit for later ones

const char* const kXff = "X-Forwarded-For: 192.0.2.7\r\n";

std::vector<std::vector<affinity::EntrySettings>> lists() {
  CookieSettings dated = cookie(CookieMode::insert), sealed = dated, shown = dated;
  dated.idle_timeout = 1800, dated.absolute_timeout = 36000, dated.permanent = true;
  sealed.sealed = sealed.no_cache = true, sealed.idle_timeout = 60;
  shown.indirect = false, shown.preserve = true;
  const CookieSettings insert = cookie(CookieMode::insert);
  const CookieSettings learn = cookie(CookieMode::learn, "J");
  return {{},
          {insert},
          {dated},
          {sealed},
          {shown},
          {cookie(CookieMode::rewrite)},
          {cookie(CookieMode::prefix)},
          {learn},
          {insert, learn, cookie(CookieMode::prefix, "P")},
          {HeaderSettings{"U"}, insert},
          {cookie(CookieMode::prefix, "P"), HeaderSettings{"Host"}, HeaderSettings{"Cookie"}}};
}

// Compiled once: that takes longer than a run.
struct Fixed {
  std::vector<std::vector<CookieSettings>> settings;  // the cookies of each list
  std::vector<std::array<HttpRules, 2>> rules;        // of each list, before and after a reload
  ExchangeTools tools;
  Fixed() {
    for (const auto& list : lists()) {
      rules.push_back({rules_of(list), rules_of(list)});
      std::vector<CookieSettings>& cookies = settings.emplace_back();
      for (const affinity::EntrySettings& e : list)
        if (const auto* c = std::get_if<CookieSettings>(&e)) cookies.push_back(*c);
      for (uint32_t i = 0; i < 2; ++i) {
        HttpRules& r = rules.back()[i];
        r.number = kRulesPlaces + 1 + i;
        for (const auto* s : {&r.request, &r.response})
          if (*s) require(tools.scratch.fit(**s).ok(), "there is scratch");
      }
    }
    tools.crypter.emplace(affinity::CookieKeys::first({1, 2, 3}));
  }
};

struct Message {
  std::string head, body;
};
// What a backend reads, up to the first request after which it may not be HTTP any more.
struct Requests {
  std::vector<Message> all;
  std::string rest;    // of a head that is not complete
  bool asked = false;  // there is such a request
  bool bad = false;    // no request, or a body without an end
};

std::span<const uint8_t> octets(std::string_view s) {
  return {reinterpret_cast<const uint8_t*>(s.data()), s.size()};
}

Requests read(std::string_view stream) {
  Requests r;
  while (!stream.empty()) {
    http::RequestFramer framer;
    http::RequestHead head;
    const Fed fed = framer.feed(octets(stream), head);
    r.bad = fed == Fed::refused;
    if (fed == Fed::need_more) r.rest = stream;
    if (fed != Fed::complete) return r;
    r.all.push_back({std::string(stream.substr(0, head.bounds.end)), {}});
    stream.remove_prefix(head.bounds.end);
    const bool tunnel = head.framing.body == http::Body::tunnel;
    http::BodySkipper body(tunnel ? http::Framing{} : head.framing, http::Side::request);
    const size_t n = body.skip(octets(stream));
    r.all.back().body = stream.substr(0, n);
    stream.remove_prefix(n);
    r.bad = body.failed();
    r.asked = head.upgrade || head.kind == http::Method::connect;
    if (!body.finished() || r.asked) return r;
  }
  return r;
}

std::string_view start_line(std::string_view head) {
  head.remove_prefix(std::min(head.find_first_not_of("\r\n"), head.size()));
  return head.substr(0, head.find('\n'));
}

// By the letter of the RFC; lines with quotes, where HAProxy has rules of its own, do not count.
bool has_cookie(std::string_view head, std::string_view name) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; };
  while (!head.empty()) {
    size_t end = 0;
    do {  // with the lines that are folded into it
      end = std::min(head.find('\n', end), head.size() - 1) + 1;
    } while (end < head.size() && (head[end] == ' ' || head[end] == '\t'));
    std::string_view line = head.substr(0, end);
    head.remove_prefix(end);
    constexpr std::string_view kName = "cookie:";
    if (line.size() < kName.size() || line.find('"') != std::string_view::npos ||
        !std::equal(kName.begin(), kName.end(), line.begin(),
                    [&](char a, char b) { return a == lower(b); }))
      continue;
    line.remove_prefix(kName.size());
    while (!line.empty()) {
      const size_t n = std::min(line.find(';'), line.size());
      std::string_view pair = line.substr(0, n);
      line.remove_prefix(std::min(n + 1, line.size()));
      const size_t equal = pair.find('=');
      if (equal == std::string_view::npos) continue;
      pair = pair.substr(0, equal);
      pair.remove_prefix(std::min(pair.find_first_not_of(" \t\r\n"), pair.size()));
      pair = pair.substr(0, pair.find_last_not_of(" \t\r\n") + 1);
      if (pair == name) return true;
    }
  }
  return false;
}

class Connection {
 public:
  Connection(ExchangeTools& tools, std::array<HttpRules, 2>& rules,
             const std::vector<CookieSettings>& settings, uint8_t flags)
      : rules_(rules),
        tools_(tools),
        settings_(settings),
        flags_(flags),
        edits_((flags & kLittleRoom) != 0 ? 1024 : 65536) {
    for (HttpRules& r : rules_) {
      r.settings.forwarded = static_cast<Forwarded>(flags & kForwarded);
      r.settings.head_bytes = (flags & kShortHeads) != 0 ? 1024 : 16384;
    }
    if ((flags & kNoTable) == 0) {
      table_ = std::make_shared<affinity::StickTable>(
          affinity::StickTable::Settings{.capacity = 8, .expire = std::chrono::minutes(1)},
          HashKey{});
      table_->assign(table_->key(1, std::string_view("aa")), affinity::value_of(ids_, 2), now_);
    }
    backends_.resize(3);
    for (uint16_t m = 0; m < 3; ++m) {
      backends_[m].configured = true;
      backends_[m].pool = 0;
      backends_[m].member = m;
    }
  }
  ~Connection() {
    client_.map.release(edits_);
    backend_.map.release(edits_);
    require(edits_.live() == 0, "every edit goes back");
    let_go(session_, service_);
    require(held() == 0, "every rule is let go of");
  }

  // Both streams in pieces, or all of the client's at once and nothing of the backend's.
  void run(std::string_view up, std::string_view down, uint8_t seed);
  void run_whole(std::string_view up) {
    say(client_, up, (flags_ & kClientCloses) != 0);
    look_up();
  }
  void check();
  std::string requests() { return client_.edited(edits_); }
  bool over() const {
    return session_.broken || (!session_.begun() && session_.refused != http::Refusal::none);
  }

 private:
  ExchangeContext context();
  // All of it that a request can have been read by is kept, or nothing is.
  void reload(bool keeps) {
    auto before = std::make_shared<SpliceEntry>();
    before->rules = std::shared_ptr<const HttpRules>(std::shared_ptr<void>(), &rules_[now_in_]);
    before->table = table_;
    kept_.clear();
    now_in_ = 1 - now_in_;
    if (keeps) kept_.push_back({std::move(before), {}, 0xff});
  }
  uint64_t held() const {
    uint64_t n = 0;
    for (const Counter& c : service_.rules_in_use) n += c.get();
    return n;
  }
  static void say(Stream& s, std::string_view text, bool fin) {
    s.came += text;
    s.fin = fin;
  }
  void look_up(size_t less = 0);
  void look_down(size_t less = 0);
  void took(Stream& s, const tcp::Shown& shown, size_t size);
  std::string_view passed(const Stream& s) const;

  std::array<HttpRules, 2>& rules_;
  size_t now_in_ = 0;  // which of them
  std::vector<KeptRules> kept_;
  ExchangeTools& tools_;
  const std::vector<CookieSettings>& settings_;
  const uint8_t flags_;
  tcp::EditPool edits_;
  const affinity::BackendIds ids_{{"s0", "s1", "s2"}};
  const std::vector<uint16_t> members_{0, 1, 2};
  std::vector<BackendEntry> backends_;
  std::vector<balance::BackendStatus> status_ = std::vector<balance::BackendStatus>(3);
  std::array<PersistenceCounters, affinity::kMaxEntries> counters_;
  WorkerCounters worker_;
  ServiceCounters service_;
  std::shared_ptr<affinity::StickTable> table_;
  uint16_t member_ = balance::Maglev::kNone;
  Instant now_{1'000'000'000'000};
  uint64_t unix_now_ = 1700000000;
  bool begun_ = false, tunnel_ = false;
  Exchange session_;
  Stream client_, backend_;
};

const balance::Maglev& table_of_keys() {
  static const balance::Maglev table(
      std::vector<balance::MaglevMember>{{"s0", 1}, {"s1", 1}, {"s2", 1}}, 251);
  return table;
}

ExchangeContext Connection::context() {
  return {.rules = rules_[now_in_],
          .ids = ids_,
          .pool = 0,
          .members = members_,
          .backends = backends_,
          .status = status_,
          .tools = &tools_,
          .table = table_.get(),
          .counters = counters_,
          .worker = worker_,
          .service = service_,
          .edits = edits_,
          .client = IpAddress::v4(192, 0, 2, 7),
          .vip = IpAddress::v4(198, 51, 100, 1),
          .client_port = be16::from(40000),
          .vip_port = be16::from(80),
          .member = member_,
          .now = now_,
          .unix_now = unix_now_,
          .kept = kept_,
          .maglev = &table_of_keys(),
          .seed = 7};
}

void Connection::took(Stream& s, const tcp::Shown& shown, size_t size) {
  require(shown.final <= size + (1u << 30), "not too far ahead");
  s.shown(shown);
  require(session_.asked_count <= Exchange::kMaxAsked, "so many wait");
}

// What of the octets has come again, where some were not kept: `less` fewer, and no FIN.
void Connection::look_up(size_t less) {
  if (client_.map.is_open() || over()) return;
  if (client_.map.frontier() > client_.begin + static_cast<uint32_t>(client_.came.size())) return;
  const auto bytes = client_.beyond();
  const http::fuzz::Bytes shown =
      http::fuzz::copy(bytes.first(bytes.size() - std::min(less, bytes.size())));
  took(client_, show_requests(session_, client_.map, shown, client_.fin && less == 0, context()),
       shown.size());
  if (session_.broken) {
    const tcp::Shown again = show_requests(session_, client_.map, shown, client_.fin, context());
    require(again.final == 0 && !again.open, "nothing passes any more");
  }
  if (!begun_ && session_.begun() && !over()) {  // a backend is chosen
    begun_ = true;
    std::array<affinity::CookieOutcome, kMaxCookieRules> said;
    const size_t n = outcomes(session_, context(), {}, said);
    member_ = 1;
    for (size_t i = n; i-- > 0;)
      if (said[i].member != balance::Maglev::kNone) member_ = said[i].member;
    require(member_ < 3, "a cookie names a backend that there is");
    count_first(session_, context(), member_);
  }
}

void Connection::look_down(size_t less) {
  if (!begun_ || backend_.map.is_open()) return;
  if (backend_.map.frontier() > backend_.begin + static_cast<uint32_t>(backend_.came.size()))
    return;
  const auto bytes = backend_.beyond();
  const http::fuzz::Bytes shown =
      http::fuzz::copy(bytes.first(bytes.size() - std::min(less, bytes.size())));
  took(backend_,
       show_responses(session_, backend_.map, shown, backend_.fin && less == 0, context()),
       shown.size());
}

void Connection::run(std::string_view up, std::string_view down, uint8_t seed) {
  Cutter cutter(seed);
  for (size_t a = 0, b = 0; (a < up.size() || b < down.size()) && !over();) {
    const bool client = a < up.size() && (b == down.size() || !begun_ || cutter.next() % 2 == 0);
    if (!client && !begun_) break;
    const std::string_view from = client ? up : down;
    size_t& at = client ? a : b;
    const size_t n = std::min(from.size() - at, cutter.next() * cutter.next());
    const bool closes = (flags_ & (client ? kClientCloses : kBackendCloses)) != 0;
    say(client ? client_ : backend_, from.substr(at, n), closes && at + n == from.size());
    at += n;
    const size_t less = cutter.next() % 8 == 0 ? cutter.next() : 0;
    client ? look_up(less) : look_down(less);
    if (less != 0) client ? look_up() : look_down();
    if (session_.up == Exchange::Up::tunnel && !tunnel_) {  // by a 101, asked for or not
      check();
      tunnel_ = true;
    }
    for (unsigned turns = 0; session_.call_up; ++turns) {
      require(turns <= Exchange::kMaxAsked, "looking again comes to an end");
      session_.call_up = false;
      look_up();
    }
    if (session_.idle()) {  // as the worker does
      let_go(session_, service_);
      session_ = Exchange{};
      session_.first = dataplane::Exchange::First::answered;
    }
    const size_t dice = cutter.next();
    if (dice == 7) unix_now_ += 1000, now_ = now_ + std::chrono::seconds(1000);
    if (dice == 8) status_[2].health = balance::Health::down;
    if (dice == 9) status_[2].health = balance::Health::up;
    if (dice == 10 || dice == 11) reload(dice == 10);
  }
}

std::string_view Connection::passed(const Stream& s) const {
  if (s.map.is_open()) return s.came;
  return std::string_view(s.came).substr(
      0, std::min<size_t>(static_cast<size_t>(s.map.frontier() - s.begin), s.came.size()));
}

// What has passed of the requests, as long as they are requests.
void Connection::check() {
  if (tunnel_) return;
  const std::string_view said = passed(client_);
  std::string edited = requests();
  if (!begun_) {  // no request, or refused together with one behind it: nobody gets it
    require(session_.begun() || edited == said, "what is no request is left alone");
    return;
  }
  if (rules_[0].settings.forwarded == Forwarded::proxy_v1 ||
      rules_[0].settings.forwarded == Forwarded::proxy_v2) {
    const std::string header =
        rules_[0].settings.forwarded == Forwarded::proxy_v1
            ? std::string("PROXY TCP4 192.0.2.7 198.51.100.1 40000 80\r\n")
            : std::string(
                  "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\xc6\x33\x64\x01\x9c\x40\0\x50",
                  28);
    require(edited.starts_with(header), "the first octets say who the client is");
    edited.erase(0, header.size());
  }
  if (!rules_[0].follows()) {
    require(edited == said, "nothing else is edited");
    return;
  }
  const Requests before = read(said), after = read(edited);
  require(before.all.size() == after.all.size() && before.asked == after.asked &&
              before.bad == after.bad,
          "a backend reads as many requests as there were");
  if (!before.asked) {
    const bool empty_lines = before.rest.find_first_not_of("\r\n") == std::string::npos;
    require(before.rest.empty() || (empty_lines && client_.fin), "no part of a head passes");
    require(before.rest == after.rest, "empty lines stay");
  }
  for (size_t i = 0; i < after.all.size(); ++i) {
    const std::string& head = after.all[i].head;
    require(before.all[i].body == after.all[i].body, "bodies stay");
    require(start_line(before.all[i].head) == start_line(head), "start lines stay");
    if (rules_[0].settings.forwarded == Forwarded::x_forwarded_for) {
      const size_t empty = head.size() - (head.ends_with("\r\n") ? 2 : 1);
      require(std::string_view(head).substr(0, empty).ends_with(kXff),
              "every request says who the client is, last");
    }
    for (size_t r = 0; r < settings_.size(); ++r)
      if (rules_[0].cookies[r].policy.strips_requests())
        require(!has_cookie(head, settings_[r].name), "our cookie does not reach a backend");
  }
}

void test(std::span<const uint8_t> data) {
  static Fixed fixed;
  if (data.size() < 5) return;
  const size_t list = data[0] % fixed.rules.size();
  const uint8_t flags = data[1], seed = data[2];
  std::string_view text(reinterpret_cast<const char*>(data.data()) + 5, data.size() - 5);
  const std::string_view up = text.substr(0, std::min<size_t>(data[3] | data[4] << 8, text.size()));
  const std::string_view down = text.substr(up.size());
  std::array<HttpRules, 2>& rules = fixed.rules[list];

  Connection both(fixed.tools, rules, fixed.settings[list], flags);
  both.run(up, down, seed);
  both.check();

  // Without responses, what comes in pieces becomes what it becomes at once. (How long a head may
  // be is asked while it is not complete.)
  if (up.size() >= 1024) return;
  Connection pieces(fixed.tools, rules, fixed.settings[list], flags);
  Connection whole(fixed.tools, rules, fixed.settings[list], flags);
  pieces.run(up, {}, seed);
  whole.run_whole(up);
  pieces.check();
  whole.check();
  require(pieces.over() == whole.over(), "pieces are judged as the whole");
  require(pieces.requests() == whole.requests(), "pieces become what the whole becomes");
}

}  // namespace
}  // namespace limpet::dataplane::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::dataplane::fuzz::test({data, size});
  return 0;
}
