// A browser and a web server as apps of endpoints: requests and answers as a test writes them,
// octet by octet, and a record of exactly what arrived.
#pragma once

#include <string>
#include <vector>

#include "http.h"

namespace limpet::sim {

struct HttpRequest {
  std::string head;             // with its empty line
  std::vector<size_t> cuts;     // the head is written in pieces that end there...
  Duration pause{};             // ...with this between them
  std::string body;             // framed
  bool pipelined = false;       // goes out without waiting for the answer before
  bool wants_continue = false;  // the body waits for 100
  Duration think{};             // before it is written
};

struct HttpClientOptions {
  std::vector<HttpRequest> requests;
  std::string upgraded;     // sent after 101; its echo is awaited
  bool half_close = false;  // FIN right behind the last request
};

class HttpClientApp : public App {
 public:
  explicit HttpClientApp(HttpClientOptions options);

  void on_open(Endpoint& e, Instant now) override { send_next(e, now); }
  void on_room(Endpoint& e, Instant now) override { writer_.go_on(e, now); }
  void on_timer(Endpoint& e, Instant now) override { settle(e, now); }
  void on_data(Endpoint& e, std::span<const uint8_t> data, Instant now) override;
  void on_peer_close(Endpoint& e, Instant now) override;
  void on_end(Endpoint&, Instant) override { ended_ = true; }
  std::optional<Instant> next_timer() const override { return writer_.next_timer(); }

  // Everything that arrived, and what was written, as they were.
  const std::string& received() const { return received_; }
  const std::string& written() const { return writer_.written(); }
  const std::vector<HttpMessage>& responses() const { return responses_; }  // interim ones too
  const std::string& upgraded() const { return reader_.upgraded(); }
  // All requests answered, and whatever was upgraded echoed.
  bool complete() const;
  bool ended() const { return ended_; }
  bool peer_closed() const { return peer_closed_; }

 private:
  void send_next(Endpoint& e, Instant now);
  void settle(Endpoint& e, Instant now);
  void on_response(const HttpMessage& m);

  HttpClientOptions options_;
  HttpReader reader_;
  PieceWriter writer_;
  std::string received_;
  std::vector<HttpMessage> responses_;
  size_t sent_ = 0, answered_ = 0;
  bool body_waits_ = false;
  bool upgraded_sent_ = false;
  bool ended_ = false, peer_closed_ = false;
};

struct HttpAnswer {
  std::string head;  // with its empty line; before it any interim ones
  std::vector<size_t> cuts;
  Duration pause{};
  std::string body;  // framed
  bool closes = false;
  bool upgrades = false;  // from here on everything is echoed
  Duration delay{};
};

class HttpServerApp : public App {
 public:
  using Handler = std::function<HttpAnswer(const HttpMessage& request, size_t index)>;

  // "Expect: 100-continue" is answered with `go_on`, unless it is empty. `preamble`: octets in
  // front of the first request that are not HTTP (PROXY).
  explicit HttpServerApp(Handler handler, std::string go_on = "HTTP/1.1 100 Continue\r\n\r\n",
                         size_t preamble = 0)
      : handler_(std::move(handler)),
        go_on_(std::move(go_on)),
        preamble_(preamble),
        reader_(nullptr) {}

  void on_room(Endpoint& e, Instant now) override { settle(e, now); }
  void on_timer(Endpoint& e, Instant now) override { settle(e, now); }
  void on_data(Endpoint& e, std::span<const uint8_t> data, Instant now) override;
  void on_peer_close(Endpoint& e, Instant now) override;
  void on_end(Endpoint&, Instant) override { ended_ = true; }
  std::optional<Instant> next_timer() const override { return writer_.next_timer(); }

  const std::string& received() const { return received_; }
  const std::string& written() const { return writer_.written(); }
  const std::vector<HttpMessage>& requests() const { return requests_; }
  bool ended() const { return ended_; }

 private:
  void settle(Endpoint& e, Instant now);
  void expect(std::string_view octets);

  Handler handler_;
  std::string go_on_;
  size_t preamble_;
  HttpReader reader_;
  PieceWriter writer_;
  std::string received_, open_head_;
  std::vector<HttpMessage> requests_;
  size_t echoed_ = 0;
  bool closes_ = false, upgraded_ = false, ended_ = false;
};

}  // namespace limpet::sim
