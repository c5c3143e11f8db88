// HTTP/1.x as far as the simulated client and server need it: framed bodies of seeds, a reader that
// cuts a stream into messages, a writer that writes pieces at times, and comparison octet by octet.
#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "endpoint.h"
#include "random.h"

namespace limpet::sim {

// `size` octets of a seed's stream.
std::string seeded(uint64_t seed, size_t size);
// As a chunked body (RFC 9112, 7.1), with the last chunk and `trailer` ("Name: value\r\n").
std::string chunked(std::string_view body, size_t chunk, std::string_view trailer = "");
// Empty if equal; else where they differ first, with some octets of both.
std::string compare(std::string_view got, std::string_view wanted);

struct HttpMessage {
  std::string head;  // with its empty line, as it came
  std::string body;  // without framing
  std::string raw;   // everything, as it came
  bool interim = false;
  bool ended_by_close = false;

  std::string first_line() const;
  std::optional<std::string> field(std::string_view name) const;  // the first of that name
  unsigned status() const;                                        // of a response
  std::string method() const;                                     // of a request
};

// Cuts what arrives into messages.
class HttpReader {
 public:
  // For responses: whether the next final one answers HEAD. Null: reads requests.
  explicit HttpReader(std::function<bool()> answers_head)
      : answers_head_(std::move(answers_head)) {}

  void feed(std::string_view octets, const std::function<void(const HttpMessage&)>& message);
  // The stream ends: a body without length is complete. False: in the middle of a message.
  bool end(const std::function<void(const HttpMessage&)>& message);
  // After 101 or a request that becomes one: everything that comes is no HTTP.
  void upgrade() { state_ = State::raw; }
  const std::string& upgraded() const { return upgraded_; }
  bool between_messages() const { return state_ == State::head && message_.raw.empty(); }

 private:
  enum class State : uint8_t { head, length, chunk_size, chunk, chunk_end, trailer, close, raw };
  bool line(char c);  // true: line_ is complete
  void head_done(const std::function<void(const HttpMessage&)>& message);
  void done(const std::function<void(const HttpMessage&)>& message);

  std::function<bool()> answers_head_;
  State state_ = State::head;
  HttpMessage message_;
  std::string line_, upgraded_;
  size_t left_ = 0;
};

// Pieces that are written one after the other, each some time after the one before.
class PieceWriter {
 public:
  void add(std::string octets, Duration after = {}) {
    pieces_.push_back({std::move(octets), after});
  }
  // Splits at these offsets, with a pause before each part but the first.
  void add_cut(const std::string& octets, const std::vector<size_t>& cuts, Duration pause,
               Duration before = {});
  void go_on(Endpoint& e, Instant now);  // writes what is due and there is room for
  bool empty() const { return pieces_.empty(); }
  std::optional<Instant> next_timer() const { return timer_; }
  const std::string& written() const { return written_; }

 private:
  struct Piece {
    std::string octets;
    Duration after;
  };
  std::deque<Piece> pieces_;
  std::optional<Instant> timer_, due_;
  size_t offset_ = 0;
  std::string written_;
};

}  // namespace limpet::sim
