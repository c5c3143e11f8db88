#include "reader.h"

#include <algorithm>
#include <charconv>

namespace limpet::oracle {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\t';
}
// What a language's own trim() takes away.
bool space(char c) {
  return blank(c) || c == '\r' || c == '\n' || c == '\v' || c == '\f';
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && space(s.front())) s.remove_prefix(1);
  while (!s.empty() && space(s.back())) s.remove_suffix(1);
  return s;
}

// Splits at `c`; parts are trimmed, empty ones left out.
std::vector<std::string> split(std::string_view s, char c) {
  std::vector<std::string> parts;
  while (true) {
    const size_t n = std::min(s.find(c), s.size());
    if (const std::string_view part = trimmed(s.substr(0, n)); !part.empty())
      parts.emplace_back(part);
    if (n == s.size()) return parts;
    s.remove_prefix(n + 1);
  }
}

template <class Number>
bool number(std::string_view text, Number& into, int base) {
  text = trimmed(text);
  const auto r = std::from_chars(text.data(), text.data() + text.size(), into, base);
  return !text.empty() && r.ec == std::errc{} && r.ptr == text.data() + text.size();
}

class Reader {
 public:
  Reader(std::string_view octets, const Reading& how) : all_(octets), how_(how) {}

  Requests read(std::optional<size_t> switches) {
    while (!(switches && r_.messages.size() > *switches) && message()) r_.at = at_;
    return std::move(r_);
  }

 private:
  bool fail(const char* why) {
    r_.error = why;
    return false;
  }
  // The next line without its end; nothing when it is not complete.
  std::optional<std::string_view> line() {
    const std::string_view rest = all_.substr(at_);
    const size_t end = how_.bare_lf ? rest.find('\n') : rest.find("\r\n");
    if (end == std::string_view::npos) return std::nullopt;
    at_ += end + (how_.bare_lf ? 1 : 2);
    std::string_view text = rest.substr(0, end);
    if (how_.bare_lf && text.ends_with('\r')) text.remove_suffix(1);
    return text;
  }
  bool message();
  bool start_line(Message& m, std::string_view text);
  bool fields(std::vector<Field>& into);
  bool body(Message& m);
  std::vector<std::string_view> framing(const Message& m, std::string_view name) const;
  bool chunks(Message& m);

  std::string_view all_;
  const Reading& how_;
  size_t at_ = 0;
  Requests r_;
};

bool Reader::start_line(Message& m, std::string_view text) {
  const std::vector<std::string> words = [&] {
    std::string blanks(text);
    std::replace(blanks.begin(), blanks.end(), '\t', ' ');
    return split(blanks, ' ');
  }();
  if (words.size() != 3) return fail("a request line that has not three words");
  m.method = words[0], m.target = words[1], m.version = words[2];
  if (!m.version.starts_with("HTTP/1.")) return fail("a version that is none");
  return true;
}

// Up to and with the empty line. False: not complete, or an error.
bool Reader::fields(std::vector<Field>& into) {
  for (;;) {
    const auto text = line();
    if (!text) return false;
    if (text->empty()) return true;
    if (how_.folds && blank(text->front()) && !into.empty()) {
      Field& f = into.back();
      const std::string_view more = trimmed(*text);
      if (!f.value.empty() && !more.empty()) f.value += ' ';
      f.value += more;
      continue;
    }
    const size_t colon = text->find(':');
    if (colon == std::string_view::npos) return fail("a field without a colon");
    into.push_back({std::string(trimmed(text->substr(0, colon))),
                    std::string(trimmed(text->substr(colon + 1)))});
    if (into.back().name.empty()) return fail("a field without a name");
  }
}

// RFC 9112, 7.1; data is skipped, lines are read as the others.
bool Reader::chunks(Message& m) {
  for (;;) {
    const auto text = line();
    if (!text) return false;
    size_t size = 0;
    if (!number(text->substr(0, text->find(';')), size, 16) || size >> 52 != 0)
      return fail("a chunk size that is none");
    if (size == 0) return fields(m.trailers);
    if (all_.size() - at_ < size) return false;
    m.content += all_.substr(at_, size);
    at_ += size;
    const std::string_view rest = all_.substr(at_);
    if (how_.bare_lf && rest.starts_with('\n')) {
      ++at_;
    } else if (rest.starts_with("\r\n")) {
      at_ += 2;
    } else {
      return rest.empty() || rest == "\r" ? false : fail("no end of a chunk");
    }
  }
}

std::vector<std::string_view> Reader::framing(const Message& m, std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Field& f : m.fields) {
    std::string read = f.name;
    if (how_.aliases) std::replace(read.begin(), read.end(), '_', '-');
    if (same_name(read, name)) values.push_back(f.value);
  }
  return values;
}

// RFC 9112, 6.3.
bool Reader::body(Message& m) {
  const auto encodings = elements(framing(m, "transfer-encoding"));
  if (!encodings.empty()) {
    if (!same_name(encodings.back(), "chunked")) return fail("an encoding that is not chunked");
    return chunks(m);
  }
  std::optional<size_t> length;
  for (const std::string_view value : framing(m, "content-length")) {
    size_t n = 0;
    if (!number(value, n, 10) || (length && *length != n)) return fail("a length that is none");
    length = n;
  }
  const size_t n = length.value_or(0);
  m.content = all_.substr(at_, n);
  if (all_.size() - at_ < n) return false;
  at_ += n;
  return true;
}

bool Reader::message() {
  Message m;
  m.begin = at_;
  std::optional<std::string_view> text;
  do {  // RFC 9112, 2.2
    text = line();
    if (!text) return false;
  } while (text->empty());
  if (!start_line(m, *text) || !fields(m.fields)) return false;
  m.body = at_;
  const bool whole = body(m);
  m.complete = whole;
  m.end = at_;
  r_.messages.push_back(std::move(m));
  return whole;
}

}  // namespace

bool same_name(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(),
                                            [](char x, char y) { return lower(x) == lower(y); });
}

std::vector<std::string_view> Message::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const Field& f : fields)
    if (same_name(f.name, name)) values.push_back(f.value);
  return values;
}

std::vector<std::string> elements(const std::vector<std::string_view>& values) {
  std::vector<std::string> all;
  for (const std::string_view v : values)
    for (std::string& e : split(v, ',')) all.push_back(std::move(e));
  return all;
}

std::vector<std::string> pairs(const std::vector<std::string_view>& values) {
  std::vector<std::string> all;
  for (const std::string_view v : values)
    for (std::string& p : split(v, ';')) all.push_back(std::move(p));
  return all;
}

Requests read(std::string_view octets, const Reading& how, std::optional<size_t> switches) {
  return Reader(octets, how).read(switches);
}

}  // namespace limpet::oracle
