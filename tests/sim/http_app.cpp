#include "http_app.h"

namespace limpet::sim {

namespace {

std::string_view text(std::span<const uint8_t> data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

}  // namespace

HttpClientApp::HttpClientApp(HttpClientOptions options)
    : options_(std::move(options)), reader_([this] {
        return answered_ < options_.requests.size() &&
               options_.requests[answered_].head.rfind("HEAD ", 0) == 0;
      }) {}

// The next request, and those that are pipelined behind it.
void HttpClientApp::send_next(Endpoint& e, Instant now) {
  while (sent_ < options_.requests.size() && !body_waits_) {
    const HttpRequest& r = options_.requests[sent_];
    if (answered_ < sent_ && !r.pipelined) break;
    writer_.add_cut(r.head, r.cuts, r.pause, r.think);
    body_waits_ = r.wants_continue;
    if (!r.body.empty() && !body_waits_) writer_.add(r.body);
    ++sent_;
  }
  settle(e, now);
}

void HttpClientApp::settle(Endpoint& e, Instant now) {
  writer_.go_on(e, now);
  if (!writer_.empty()) return;
  const bool all_sent = sent_ == options_.requests.size() && !body_waits_;
  if (complete() || (options_.half_close && all_sent) || (peer_closed_ && writer_.empty())) {
    e.close(now);
  }
}

void HttpClientApp::on_response(const HttpMessage& m) {
  responses_.push_back(m);
  if (!m.interim) ++answered_;
  const bool go_on = body_waits_ && (m.status() == 100 || answered_ == sent_);
  if (!go_on) return;
  body_waits_ = false;
  if (m.status() == 100) writer_.add(options_.requests[sent_ - 1].body);
}

void HttpClientApp::on_data(Endpoint& e, std::span<const uint8_t> data, Instant now) {
  received_ += text(data);
  reader_.feed(text(data), [this](const HttpMessage& m) { on_response(m); });
  const bool switched = !responses_.empty() && responses_.back().status() == 101;
  if (switched && !upgraded_sent_) {
    upgraded_sent_ = true;
    writer_.add(options_.upgraded);
  }
  send_next(e, now);
}

void HttpClientApp::on_peer_close(Endpoint& e, Instant now) {
  peer_closed_ = true;
  reader_.end([this](const HttpMessage& m) { on_response(m); });
  settle(e, now);
}

bool HttpClientApp::complete() const {
  return answered_ == options_.requests.size() && writer_.empty() &&
         reader_.upgraded().size() >= options_.upgraded.size();
}

// Answers "Expect: 100-continue" when the head is there, before its body.
void HttpServerApp::expect(std::string_view octets) {
  if (go_on_.empty() || upgraded_) return;
  open_head_ += octets;
  const size_t end = open_head_.find("\r\n\r\n");
  if (end == std::string::npos) return;
  HttpMessage m;
  m.head = open_head_.substr(0, end + 4);
  const auto field = m.field("expect");
  if (field && *field == "100-continue") writer_.add(go_on_);
  open_head_.clear();
}

void HttpServerApp::on_data(Endpoint& e, std::span<const uint8_t> data, Instant now) {
  received_ += text(data);
  const size_t skipped = std::min(preamble_, data.size());
  preamble_ -= skipped;
  data = data.subspan(skipped);
  // Heads are looked at as they come; a request that expects is sent alone.
  if (reader_.between_messages() || !open_head_.empty()) expect(text(data));
  reader_.feed(text(data), [this](const HttpMessage& m) {
    open_head_.clear();
    requests_.push_back(m);
    if (closes_) return;
    const HttpAnswer answer = handler_(m, requests_.size() - 1);
    writer_.add_cut(answer.head, answer.cuts, answer.pause, answer.delay);
    if (!answer.body.empty()) writer_.add(answer.body);
    closes_ = answer.closes;
    if (answer.upgrades) {
      upgraded_ = true;
      reader_.upgrade();
    }
  });
  if (reader_.upgraded().size() > echoed_) {
    writer_.add(reader_.upgraded().substr(echoed_));
    echoed_ = reader_.upgraded().size();
  }
  settle(e, now);
}

void HttpServerApp::on_peer_close(Endpoint& e, Instant now) {
  closes_ = true;
  settle(e, now);
}

void HttpServerApp::settle(Endpoint& e, Instant now) {
  writer_.go_on(e, now);
  if (closes_ && writer_.empty()) e.close(now);
}

}  // namespace limpet::sim
