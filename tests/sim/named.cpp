#include "named.h"

#include <fmt/format.h>

namespace limpet::sim {

using namespace std::chrono_literals;

bool contains(const Passing& p, std::string_view text) {
  if (!p.data()) return false;
  const std::span<const uint8_t> d = p.packet.tcp.data;
  return std::string_view(reinterpret_cast<const char*>(d.data()), d.size()).find(text) !=
         std::string_view::npos;
}

Bytes piece(const Segment& s, size_t begin, size_t end, bool fin) {
  Segment part = s;
  part.seq += static_cast<uint32_t>(begin);
  part.data = s.data.subspan(begin, end - begin);
  if (end != s.data.size() || !fin) part.flags &= static_cast<uint8_t>(~kFin);
  return emit(part);
}

Named::Named() {
  Scenario& s = scenario;
  s.seed = 7;
  for (EndpointOptions* e : {&s.client, &s.server}) {
    e->isn = e == &s.client ? 0xffffff00u : 0x7ffffff0u;  // numbers wrap, and change their sign
    // limpet probes windows and sends held octets again, with the newest timestamp that it knows.
    e->check.data_probes = true;
    e->check.in_order = false;
    e->check.windows_close = true;
    e->check.timestamps_may_go_back = 60000;
    e->time_wait = 5s;
  }
  s.limit = std::chrono::minutes(20);
  options.seed = 7;
  options.dead = false;
  options.service =
      R"(persistence = ( { type = "cookie"; mode = "insert"; session_name = "SRV"; value = "plain";
                           indirect = true; no_cache = false; } );)";
}

HttpRequest& Named::ask(const std::string& head, const std::string& wanted,
                        const std::string& body) {
  HttpRequest r;
  r.head = head;
  r.body = body;
  up_wanted += (wanted.empty() ? head : wanted) + body;
  client.requests.push_back(r);
  return client.requests.back();
}

HttpAnswer& Named::answer(const std::string& head, const std::string& wanted,
                          const std::string& body) {
  HttpAnswer a;
  a.head = head;
  a.body = body;
  down_wanted += (wanted.empty() ? head : wanted) + body;
  answers.push_back(a);
  return answers.back();
}

Rule Named::lose_if(const std::string& host, bool up, std::function<bool(const Passing&)> match) {
  Rule r;
  r.name = "lost";
  r.host = host;
  r.up = up;
  r.match = std::move(match);
  return r;
}

Rule Named::lose(const std::string& host, bool up, const std::string& text) {
  return lose_if(host, up, [text](const Passing& p) { return contains(p, text); });
}

WorkerBox& Named::make_box() {
  if (!box) box = std::make_unique<WorkerBox>(options);
  return *box;
}

void Named::run() {
  make_box();
  HttpClientApp browser(client);
  HttpServerApp* server = nullptr;
  Meeting meeting{browser,
                  [&] {
                    auto app = std::make_unique<HttpServerApp>(
                        [this](const HttpMessage&, size_t i) {
                          return i < answers.size() ? answers[i] : HttpAnswer{};
                        },
                        "");
                    server = app.get();
                    return app;
                  },
                  WorkerBox::vip(scenario.v6),
                  [&](const App* app) -> std::string {
                    if (app != &browser) return compare(server->received(), up_wanted);
                    if (!browser.complete())
                      return fmt::format("{} of {} answers", browser.responses().size(),
                                         answers.size());
                    return judge_down ? "" : compare(browser.received(), down_wanted);
                  }};
  meeting.prepare = prepare;
  Trace printer(stdout);
  const bool trace = std::getenv("LIMPET_TRACE") != nullptr;
  const Outcome outcome = converse(scenario, *box, meeting, trace ? &printer : nullptr);
  for (const std::string& text : outcome.failures) ADD_FAILURE() << text;
  if (judge_down) judge_down(browser.received());
  counts = outcome.counts;
  client_received = browser.received();
  EXPECT_EQ(box->leaks(), "");
  box->rig().finish();
}

}  // namespace limpet::sim
