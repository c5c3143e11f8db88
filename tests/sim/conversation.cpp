#include "conversation.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

#include "tokens.h"

namespace limpet::sim {
namespace {

using namespace std::chrono_literals;

enum class Mode : uint8_t { insert, rewrite, prefix };

struct Settings {
  Mode mode = Mode::insert;
  std::string forwarded = "none";
  bool indirect = true;
  bool no_cache = false;
  bool sealed = false, idle = false, absolute = false;
  bool learn = false, source = false;  // entries behind the cookie's
  std::string name() const { return mode == Mode::prefix ? "PHPSESSID" : "SRV"; }
};

// One header under construction: as it is sent and as it must arrive.
struct Both {
  std::string sent, wanted;
  void same(const std::string& s) {
    sent += s;
    wanted += s;
  }
};

// What a request brings as our cookie.
enum class Cookie : uint8_t {
  none,
  valid,
  garbage,
  dead,   // names the other backend, which is dead
  older,  // sealed under an older key; of dated plain ones: without its dates
  used,   // not lately
  expired,
  future,    // issued in three days
  stranger,  // sealed with another key
  elsewhere  // of another service
};
constexpr const char* kCookieNames[] = {"none", "valid",   "garbage", "dead",     "older",
                                        "used", "expired", "future",  "stranger", "elsewhere"};

struct Brought {
  std::string value;
  std::optional<int> first;  // minutes since its first issue, where limpet believes it
};

std::string filler(Random& r, size_t size) {
  std::string s;
  while (s.size() < size) s += static_cast<char>('a' + r.below(26));
  return s;
}

Brought brought(Random& r, Cookie kind, Tokens& t) {
  switch (kind) {
    case Cookie::none:
      break;
    case Cookie::valid:
      return {t.make("s0", t.dated() ? 11 : 0, 0), 11};
    case Cookie::garbage:
      return {"zz" + filler(r, r.pick<size_t>({1, 21, 30, 3000})), std::nullopt};
    case Cookie::dead:
      return {t.make("dead", t.dated() ? 9 : 0, 0), 9};
    case Cookie::older:
      if (t.sealed()) return {t.make_with_older_key("s0", 7), 7};
      return {t.make_undated("s0"), std::nullopt};
    case Cookie::used:
      return {t.make("s0", 20, 5), 20};
    case Cookie::expired:
      return {t.make("s0", 300, 200), std::nullopt};
    case Cookie::future:
      return {t.make("s0", -3 * 1440, -3 * 1440), std::nullopt};
    case Cookie::stranger:
      return {t.make_by_stranger("s0"), std::nullopt};
    case Cookie::elsewhere:
      return {t.make_for_elsewhere("s0"), std::nullopt};
  }
  return {};
}

// Kinds that exist with these settings; the first request brings one that is not its server's.
Cookie draw_kind(Random& r, const Settings& s, bool first) {
  std::vector<Cookie> kinds = first ? std::vector{Cookie::garbage, Cookie::garbage, Cookie::dead}
                                    : std::vector{Cookie::none, Cookie::valid, Cookie::valid,
                                                  Cookie::valid, Cookie::garbage};
  const bool dated = s.idle || s.absolute;
  const auto may = [&kinds](bool exists, Cookie kind) {
    if (exists) kinds.push_back(kind);
  };
  may(s.sealed || dated, Cookie::older);
  may(dated && (s.idle || !s.sealed), Cookie::used);
  may(dated, Cookie::expired);
  may(dated, Cookie::future);
  may(s.sealed, Cookie::stranger);
  may(s.sealed, Cookie::elsewhere);
  return kinds[r.below(kinds.size())];
}

// The Cookie lines of a request: ours among others, in one line or in several.
void cookies(Random& r, const Settings& s, Cookie kind, std::string value, Both& head,
             size_t& edits) {
  const bool strip = s.mode == Mode::insert && s.indirect;
  std::string seen = value;
  if (s.mode == Mode::prefix) {
    // What the server set, with a prefix that is ours or only looks like it.
    seen = filler(r, 5 + r.below(30));
    value += "~" + seen;
  }
  std::vector<std::string> others;
  for (uint64_t n = r.below(4); n > 0; --n) {
    others.push_back(fmt::format("c{}={}", n, filler(r, r.pick<size_t>({1, 8, 40, 300}))));
  }
  if (s.learn && r.chance(60)) others.push_back("APP=" + r.pick<std::string>({"a", "bb", "ccc"}));
  if (kind == Cookie::none) {
    if (others.empty()) return;
    std::string line = "Cookie: ";
    for (size_t i = 0; i < others.size(); ++i) line += (i == 0 ? "" : "; ") + others[i];
    return head.same(line + "\r\n");
  }
  const std::string ours = s.name() + "=" + value;
  if (r.chance(30) || others.empty()) {  // a line of its own
    head.sent += "Cookie: " + ours + "\r\n";
    if (!strip)
      head.wanted += "Cookie: " + s.name() + "=" + (s.mode == Mode::prefix ? seen : value) + "\r\n";
    if (!others.empty()) {
      std::string line = "Cookie: ";
      for (size_t i = 0; i < others.size(); ++i) line += (i == 0 ? "" : "; ") + others[i];
      head.same(line + "\r\n");
    }
  } else {
    const size_t place = r.below(others.size() + 1);
    std::string sent = "Cookie: ", wanted = "Cookie: ";
    bool first_sent = true, first_wanted = true;
    const auto put = [](std::string& line, bool& first, const std::string& pair) {
      line += (first ? "" : "; ") + pair;
      first = false;
    };
    for (size_t i = 0; i <= others.size(); ++i) {
      if (i == place) {
        put(sent, first_sent, ours);
        if (!strip)
          put(wanted, first_wanted, s.name() + "=" + (s.mode == Mode::prefix ? seen : value));
      }
      if (i == others.size()) break;
      put(sent, first_sent, others[i]);
      put(wanted, first_wanted, others[i]);
    }
    head.sent += sent + "\r\n";
    head.wanted += wanted + "\r\n";
  }
  edits += strip || s.mode == Mode::prefix ? 1 : 0;
}

std::vector<size_t> draw_cuts(Random& r, size_t size) {
  std::vector<size_t> cuts;
  if (r.chance(60)) return cuts;
  for (uint64_t n = 1 + r.below(4); n > 0 && size > 2; --n) cuts.push_back(1 + r.below(size - 1));
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  return cuts;
}

// `judged`: which octets of it are, when it is not null.
std::string body_of(Random& r, bool in_chunks, size_t size, std::vector<bool>* judged = nullptr) {
  const std::string raw = seeded(r.next(), size);
  if (judged != nullptr) judged->assign(raw.size(), false);
  if (!in_chunks) return raw;
  const auto piece = r.pick<size_t>({100, 1000, 5000, 60000});
  const std::string text = chunked(raw, piece, r.chance(20) ? "T: x\r\n" : "");
  if (judged == nullptr) return text;
  judged->assign(text.size(), true);
  size_t at = 0;
  for (size_t done = 0; done < raw.size(); done += piece) {
    at = text.find('\n', at) + 1;
    const size_t n = std::min(piece, raw.size() - done);
    std::fill_n(judged->begin() + static_cast<ptrdiff_t>(at), n, false);
    at += n + 2;
  }
  return text;
}

// Where a request is that arrives behind all others; `head`: octets of its head as it must arrive.
void note_request(Conversation& c, const HttpRequest& r, size_t head,
                  const std::vector<bool>& lines) {
  std::string& all = c.requests.octets;
  all += r.head;
  c.judged.resize(all.size(), true);
  const size_t body = all.size();
  all += r.body;
  c.judged.insert(c.judged.end(), lines.begin(), lines.end());
  c.judged.resize(all.size());
  c.requests.messages.push_back({body, all.size(), true});
  const size_t begin = c.arrives.empty() ? 0 : c.up_wanted.size();
  c.arrives.push_back({begin, c.up_wanted.size() + head});
}

}  // namespace

size_t Conversation::judged_before(size_t left) const {
  size_t behind = 0;
  for (size_t i = 0; i < arrives.size() && left > arrives[i].begin; ++i) {
    // A head is judged as a whole before any of it leaves.
    const oracle::Judged::Bounds& b = requests.messages[i];
    behind = b.body;
    if (left > arrives[i].body) behind += std::min(left - arrives[i].body, b.end - b.body);
  }
  return behind;
}

Conversation draw_conversation(Random& r, const std::string& client_address, const std::string& vip,
                               uint16_t client_port, size_t least) {
  Conversation c;
  Settings s;
  s.mode = r.pick<Mode>({Mode::insert, Mode::insert, Mode::insert, Mode::rewrite, Mode::prefix});
  s.indirect = r.chance(75);
  s.no_cache = s.mode == Mode::insert && r.chance(50);
  s.forwarded = r.pick<std::string>({"none", "none", "x-forwarded-for", "proxy-v1", "proxy-v2"});
  // Sealed or dated values where the mode has them.
  s.sealed = s.mode != Mode::prefix && r.chance(40);
  s.idle = s.mode == Mode::insert && r.chance(30);
  s.absolute = s.mode == Mode::insert && r.chance(30);
  s.learn = r.chance(25);
  s.source = r.chance(25);
  // Something must change in the stream up.
  if ((s.mode == Mode::rewrite || !s.indirect) && s.forwarded == "none")
    s.forwarded = "x-forwarded-for";
  const char* const mode = s.mode == Mode::insert    ? "insert"
                           : s.mode == Mode::rewrite ? "rewrite"
                                                     : "prefix";
  std::string settings =
      fmt::format("type = \"cookie\"; mode = \"{}\"; session_name = \"{}\"; value = \"{}\";", mode,
                  s.name(), s.sealed ? "sealed" : "plain");
  if (s.idle) settings += fmt::format(" idle_timeout = \"{}\";", Tokens::kIdle);
  if (s.absolute) settings += fmt::format(" absolute_timeout = \"{}\";", Tokens::kAbsolute);
  if (s.mode == Mode::insert)
    settings += fmt::format(" indirect = {}; no_cache = {};", s.indirect, s.no_cache);
  else
    s.indirect = false;
  std::string entries = "{ " + settings + " }";
  if (s.learn) entries += ", { type = \"cookie\"; mode = \"learn\"; session_name = \"APP\"; }";
  // A quarter of the requests bring it; whoever it names, the dead one is passed over.
  const bool header = s.learn != s.source;
  if (header) entries += ", { type = \"header\"; name = \"X-Filler\"; }";
  if (s.source) entries += ", { type = \"source\"; }";
  c.service = fmt::format("forwarded = \"{}\"; persistence = ( {} );", s.forwarded, entries);
  if (s.learn) c.service += " table = { size = 16; expire = \"1h\"; };";
  Tokens tokens(s.sealed, s.idle, s.absolute, s.name());
  c.keys = tokens.keys();
  const auto drew = [&c](const std::string& what) { ++c.cookies["cookies: " + what]; };
  drew(std::string(mode) + (s.sealed ? " sealed" : ""));
  if (s.idle) drew("idle_timeout");
  if (s.absolute) drew("absolute_timeout");
  if (s.learn) drew("learn");
  if (s.source) drew("source");
  if (header) drew("header");
  c.describe = c.service;

  const size_t count = 1 + r.below(6);
  const bool v4 = client_address.find(':') == std::string::npos;
  if (s.forwarded == "proxy-v1") {
    c.up_wanted =
        fmt::format("PROXY TCP{} {} {} {} 80\r\n", v4 ? 4 : 6, client_address, vip, client_port);
    ++c.edits_up;
  } else if (s.forwarded == "proxy-v2") {
    c.up_wanted.assign("\r\n\r\n\0\r\nQUIT\n\x21", 13);
    c.up_wanted += v4 ? '\x11' : '\x21';
    c.up_wanted += '\0';
    c.up_wanted += v4 ? '\x0c' : '\x24';
    for (const std::string* a : {&client_address, &vip}) {
      const IpAddress address = *IpAddress::parse(*a);
      const auto* bytes =
          reinterpret_cast<const char*>(v4 ? address.v4_bytes() : address.bytes.data());
      c.up_wanted.append(bytes, v4 ? 4 : 16);
    }
    c.up_wanted += static_cast<char>(client_port >> 8);
    c.up_wanted += static_cast<char>(client_port & 0xff);
    c.up_wanted.append("\0\x50", 2);
    ++c.edits_up;
  }

  c.preamble = c.up_wanted.size();
  c.promises.preamble = c.up_wanted;
  if (s.forwarded == "x-forwarded-for") c.promises.forwarded = client_address;
  if (s.mode == Mode::insert && s.indirect) c.promises.cookies = {s.name()};
  c.promises.no_h2c = true;
  c.readable = s.mode != Mode::prefix;
  size_t up = 0, down = 0;
  bool upgraded = false, closed = false;
  for (size_t i = 0; i < count; ++i) {
    const bool last = i + 1 == count;
    // --- the request
    Both head;
    HttpRequest request;
    const bool upgrade = last && r.chance(12);
    const bool post = !upgrade && (r.chance(50) || (last && up < least));
    const bool is_head = !upgrade && !post && !last && r.chance(15);
    const bool in_chunks = post && r.chance(40);
    const bool http10 = last && !upgrade && !in_chunks && r.chance(8);
    const size_t size =
        !post  ? 0
        : last ? std::max<size_t>(least - std::min(up, least), r.below(500)) + r.below(3000)
               : r.pick<size_t>({0, 10, 2000, 20000});
    head.same(fmt::format("{} /{} HTTP/1.{}\r\nHost: test\r\n",
                          post      ? "POST"
                          : is_head ? "HEAD"
                                    : "GET",
                          filler(r, r.pick<size_t>({1, 20, 400})), http10 ? 0 : 1));
    if (r.chance(20)) head.same("X-Forwarded-For: 8.8.8.8\r\n");
    const Cookie kind = draw_kind(r, s, i == 0);
    const Brought ours = brought(r, kind, tokens);
    drew(kCookieNames[static_cast<size_t>(kind)]);
    c.names_dead = c.names_dead || kind == Cookie::dead;
    cookies(r, s, kind, ours.value, head, c.edits_up);
    if (r.chance(25))
      head.same("X-Filler: " + filler(r, r.pick<size_t>({100, 1500, 6000})) + "\r\n");
    if (in_chunks) head.same("Transfer-Encoding: chunked\r\n");
    if (post && !in_chunks) head.same(fmt::format("Content-Length: {}\r\n", size));
    request.wants_continue = post && size > 0 && !http10 && r.chance(15);
    if (request.wants_continue) head.same("Expect: 100-continue\r\n");
    if (upgrade) head.same("Connection: Upgrade\r\nUpgrade: websocket\r\n");
    if (s.forwarded == "x-forwarded-for") {
      head.wanted += "X-Forwarded-For: " + client_address + "\r\n";
      ++c.edits_up;
    }
    head.same("\r\n");
    request.head = head.sent;
    request.cuts = draw_cuts(r, head.sent.size());
    request.pause = r.pick<Duration>({Duration(0), 1ms, 30ms});
    std::vector<bool> lines;
    request.body = post ? body_of(r, in_chunks, size, &lines) : "";
    note_request(c, request, head.wanted.size(), lines);
    request.pipelined = i > 0 && !request.wants_continue && !upgrade && r.chance(40) &&
                        !c.client.requests.back().wants_continue;
    if (r.chance(15)) request.think = r.pick<Duration>({1ms, 100ms});
    c.up_wanted += head.wanted + request.body;
    up = c.up_wanted.size();
    if (request.wants_continue) c.down_wanted += "HTTP/1.1 100 Continue\r\n\r\n";
    c.client.requests.push_back(std::move(request));

    // --- its answer
    Both said;
    HttpAnswer answer;
    const bool until_close = last && !upgrade && !is_head && r.chance(25);
    const bool shuts = last && !upgrade && r.chance(30);  // although its end would be clear
    unsigned status = upgrade ? 101 : r.pick<unsigned>({200, 200, 200, 200, 204, 304, 302});
    if (last && !upgrade && down < least && (status == 204 || status == 304))
      status = 200;  // without a body there would be too little
    const bool has_body = !is_head && status != 101 && status != 204 && status != 304;
    const bool answer_chunks = has_body && !until_close && !http10 && r.chance(40);
    size_t bytes = !has_body ? 0 : r.pick<size_t>({0, 10, 3000, 30000});
    if (last && !upgrade)
      bytes = has_body ? std::max<size_t>(least - std::min(down, least), bytes) : 0;
    said.same(fmt::format("HTTP/1.1 {} Whatever\r\n", status));
    if (r.chance(30)) said.same("Set-Cookie: other=" + filler(r, r.below(300)) + "; Path=/\r\n");
    if (s.learn && r.chance(40))
      said.same(r.pick<std::string>({"Set-Cookie: APP=a; Path=/\r\n", "Set-Cookie: APP=bb\r\n",
                                     "Set-Cookie: APP=a; Max-Age=0\r\n"}));
    const bool theirs = r.chance(35) || (i == 0 && s.mode != Mode::insert);
    if (theirs) {
      const std::string value = filler(r, 1 + r.below(40));
      const std::string rest = r.chance(50) ? "; Path=/x; HttpOnly\r\n" : "\r\n";
      said.sent += "Set-Cookie: " + s.name() + "=" + value + rest;
      if (s.mode == Mode::rewrite)
        said.wanted += "Set-Cookie: " + s.name() + "=" + tokens.issue({}) + rest;
      if (s.mode == Mode::prefix) said.wanted += "Set-Cookie: " + s.name() + "=s0~" + value + rest;
      ++c.edits_down;
    }
    if (r.chance(20))
      said.same("X-Filler: " + filler(r, r.pick<size_t>({100, 1500, 6000})) + "\r\n");
    if (status == 101) said.same("Upgrade: websocket\r\n");
    if (answer_chunks) said.same("Transfer-Encoding: chunked\r\n");
    if (is_head || (has_body && !answer_chunks && !until_close))
      said.same(fmt::format("Content-Length: {}\r\n", is_head ? r.below(100000) : bytes));
    if (until_close || shuts) said.same("Connection: close\r\n");
    if (s.mode == Mode::insert && kind != Cookie::valid) {
      said.wanted += "Set-Cookie: SRV=" + tokens.issue(ours.first) + "; path=/; HttpOnly\r\n";
      // A shared cache must not keep it, where one would.
      if (s.no_cache && (status == 200 || status == 204))
        said.wanted += "Cache-Control: private\r\n";
      ++c.edits_down;
    }
    said.same("\r\n");
    answer.head = said.sent;
    answer.cuts = draw_cuts(r, said.sent.size());
    answer.pause = r.pick<Duration>({Duration(0), 1ms, 30ms});
    if (r.chance(20)) answer.delay = r.pick<Duration>({1ms, 50ms});
    answer.body = has_body ? body_of(r, answer_chunks, bytes) : "";
    answer.closes = until_close || http10 || shuts;
    answer.upgrades = upgrade;
    c.down_wanted += said.wanted + answer.body;
    down = c.down_wanted.size();
    upgraded = upgraded || upgrade;
    closed = closed || answer.closes;
    c.describe += fmt::format("\n    {} {}+{}{}{} -> {} {}+{}{}{}",
                              post      ? "POST"
                              : is_head ? "HEAD"
                                        : "GET",
                              c.client.requests.back().head.size(),
                              c.client.requests.back().body.size(), in_chunks ? " chunked" : "",
                              c.client.requests.back().pipelined ? " pipelined" : "", status,
                              answer.head.size(), answer.body.size(),
                              answer_chunks ? " chunked" : "", answer.closes ? " closes" : "");
    if (c.client.requests.back().wants_continue) c.describe += " with 100";
    c.answers.push_back(std::move(answer));
  }
  if (upgraded) {
    c.client.upgraded = seeded(
        r.next(), std::max(least - std::min(up, least), least - std::min(down, least)) + 100);
    c.up_wanted += c.client.upgraded;
    c.down_wanted += c.client.upgraded;
  }
  // With an answer that closes, both FINs may be under way at once.
  c.client.half_close = !upgraded && r.chance(closed ? 50 : 20);
  return c;
}

}  // namespace limpet::sim
