#include "http.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace limpet::sim {

std::string seeded(uint64_t seed, size_t size) {
  std::string text(size, '\0');
  fill_stream(seed, 0, {reinterpret_cast<uint8_t*>(text.data()), size});
  return text;
}

std::string chunked(std::string_view body, size_t chunk, std::string_view trailer) {
  std::string text;
  for (size_t at = 0; at < body.size(); at += chunk) {
    const std::string_view piece = body.substr(at, chunk);
    text += fmt::format("{:x}\r\n{}\r\n", piece.size(), piece);
  }
  return text + "0\r\n" + std::string(trailer) + "\r\n";
}

std::string compare(std::string_view got, std::string_view wanted) {
  if (got == wanted) return "";
  const auto [g, w] = std::mismatch(got.begin(), got.end(), wanted.begin(), wanted.end());
  const auto at = static_cast<size_t>(g - got.begin());
  const auto shown = [&](std::string_view from) {
    std::string text;
    for (const char c : from.substr(std::min(at, from.size()), 24)) {
      if (c >= ' ' && c <= '~') {
        text += c;
      } else {
        text += fmt::format("\\x{:02x}", static_cast<uint8_t>(c));
      }
    }
    return text;
  };
  return fmt::format("differs at octet {} ({} octets, wanted {}): got '{}', wanted '{}'", at,
                     got.size(), wanted.size(), shown(got), shown(wanted));
}

// What is no number is 0: a stream that a fault has spoilt is judged by its octets.
static size_t number(std::string_view text, int base) {
  size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value, base);
  return value;
}

std::string HttpMessage::first_line() const {
  return head.substr(0, head.find_first_of("\r\n"));
}

std::string HttpMessage::method() const {
  return head.substr(0, head.find(' '));
}

unsigned HttpMessage::status() const {
  unsigned value = 0;
  const size_t at = head.find(' ');
  if (at != std::string::npos) {
    std::from_chars(head.data() + at + 1, head.data() + head.size(), value);
  }
  return value;
}

std::optional<std::string> HttpMessage::field(std::string_view name) const {
  const auto same = [](char a, char b) { return std::tolower(a) == std::tolower(b); };
  for (size_t at = head.find('\n'); at != std::string::npos; at = head.find('\n', at)) {
    ++at;
    if (head.size() - at <= name.size() || head[at + name.size()] != ':') continue;
    if (!std::equal(name.begin(), name.end(), head.begin() + static_cast<ptrdiff_t>(at), same)) {
      continue;
    }
    size_t from = at + name.size() + 1;
    while (from < head.size() && (head[from] == ' ' || head[from] == '\t')) ++from;
    return head.substr(from, head.find_first_of("\r\n", from) - from);
  }
  return std::nullopt;
}

bool HttpReader::line(char c) {
  line_ += c;
  if (c != '\n') return false;
  line_.pop_back();
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  return true;
}

void HttpReader::done(const std::function<void(const HttpMessage&)>& message) {
  state_ = State::head;
  const HttpMessage m = std::exchange(message_, {});
  if (answers_head_ && m.status() == 101) state_ = State::raw;
  message(m);  // may upgrade()
}

// RFC 9112, 6.3.
void HttpReader::head_done(const std::function<void(const HttpMessage&)>& message) {
  const bool response = answers_head_ != nullptr;
  const unsigned status = response ? message_.status() : 0;
  message_.interim = response && status / 100 == 1 && status != 101;
  if (response && (status / 100 == 1 || status == 204 || status == 304 || answers_head_())) {
    return done(message);
  }
  const auto encoding = message_.field("transfer-encoding");
  const auto length = message_.field("content-length");
  if (encoding && encoding->find("chunked") != std::string::npos) {
    state_ = State::chunk_size;
  } else if (length) {
    left_ = number(*length, 10);
    state_ = State::length;
    if (left_ == 0) done(message);
  } else if (response) {
    state_ = State::close;
  } else {
    done(message);
  }
}

void HttpReader::feed(std::string_view octets,
                      const std::function<void(const HttpMessage&)>& message) {
  while (!octets.empty()) {
    if (state_ == State::raw) {
      upgraded_ += octets;
      return;
    }
    if (state_ == State::length || state_ == State::chunk || state_ == State::close) {
      const size_t n = state_ == State::close ? octets.size() : std::min(left_, octets.size());
      message_.body += octets.substr(0, n);
      message_.raw += octets.substr(0, n);
      octets.remove_prefix(n);
      if (state_ == State::close) return;
      left_ -= n;
      if (left_ > 0) return;
      if (state_ == State::length) {
        done(message);
      } else {
        state_ = State::chunk_end;
      }
      continue;
    }
    const char c = octets.front();
    octets.remove_prefix(1);
    message_.raw += c;
    if (state_ == State::head) message_.head += c;
    if (!line(c)) continue;
    const std::string text = std::exchange(line_, "");
    switch (state_) {
      case State::head:
        if (text.empty()) head_done(message);
        break;
      case State::chunk_size:
        left_ = number(text, 16);
        state_ = left_ > 0 ? State::chunk : State::trailer;
        break;
      case State::chunk_end:
        state_ = State::chunk_size;
        break;
      default:  // trailer
        if (text.empty()) done(message);
    }
  }
}

bool HttpReader::end(const std::function<void(const HttpMessage&)>& message) {
  if (state_ == State::close) {
    message_.ended_by_close = true;
    done(message);
    return true;
  }
  return state_ == State::raw || between_messages();
}

void PieceWriter::add_cut(const std::string& octets, const std::vector<size_t>& cuts,
                          Duration pause, Duration before) {
  size_t from = 0;
  for (const size_t cut : cuts) {
    if (cut <= from || cut >= octets.size()) continue;
    add(octets.substr(from, cut - from), from == 0 ? before : pause);
    from = cut;
  }
  add(octets.substr(from), from == 0 ? before : pause);
}

void PieceWriter::go_on(Endpoint& e, Instant now) {
  timer_.reset();
  while (!pieces_.empty()) {
    Piece& p = pieces_.front();
    if (!due_) due_ = now + p.after;
    if (now < *due_) {
      timer_ = due_;
      return;
    }
    const std::string_view rest = std::string_view(p.octets).substr(offset_);
    const size_t n = e.write({reinterpret_cast<const uint8_t*>(rest.data()), rest.size()}, now);
    written_ += rest.substr(0, n);
    offset_ += n;
    if (offset_ < p.octets.size()) return;  // on_room goes on
    offset_ = 0;
    due_.reset();
    pieces_.pop_front();
  }
}

}  // namespace limpet::sim
