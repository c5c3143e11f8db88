#include "oracle.h"

#include <algorithm>

namespace limpet::oracle {
namespace {

std::string quoted(std::string_view s) {
  std::string text = "'";
  for (const char c : s.substr(0, 80)) {
    if (c >= ' ' && c <= '~') {
      text += c;
    } else {
      constexpr char kDigits[] = "0123456789abcdef";
      text += "\\x";
      text += kDigits[static_cast<unsigned char>(c) >> 4];
      text += kDigits[c & 15];
    }
  }
  return text + "'";
}

std::string both(const std::string& what, std::string_view judged, std::string_view read) {
  return what + ": judged " + quoted(judged) + ", read " + quoted(read);
}

bool has(const std::vector<std::string>& tokens, std::string_view token) {
  return std::any_of(tokens.begin(), tokens.end(),
                     [&](const std::string& t) { return same_name(t, token); });
}

class Comparison {
 public:
  Comparison(const Promises& promises, const Message& judged, const Message& read)
      : promises_(promises),
        judged_(judged),
        read_(read),
        h2c_(promises.no_h2c && (has(elements(judged.all("upgrade")), "h2c") ||
                                 !judged.all("http2-settings").empty())) {}

  std::string head() const {
    if (judged_.method != read_.method) return both("method", judged_.method, read_.method);
    if (judged_.target != read_.target) return both("target", judged_.target, read_.target);
    if (judged_.version != read_.version) return both("version", judged_.version, read_.version);
    if (std::string text = fields(); !text.empty()) return text;
    if (std::string text = cookies(); !text.empty()) return text;
    return h2c();
  }

 private:
  // What has rules of its own.
  bool apart(const Field& f) const {
    if (!promises_.cookies.empty() && same_name(f.name, "cookie")) return true;
    return h2c_ && (same_name(f.name, "upgrade") || same_name(f.name, "connection") ||
                    same_name(f.name, "http2-settings"));
  }
  std::vector<Field> others(const Message& m) const {
    std::vector<Field> all;
    for (const Field& f : m.fields)
      if (!apart(f)) all.push_back(f);
    return all;
  }
  // A line that the client made up stays where it was; ours is behind all of the client's.
  std::string fields() const {
    std::vector<Field> wanted = others(judged_);
    if (!promises_.forwarded.empty()) wanted.push_back({"X-Forwarded-For", promises_.forwarded});
    const std::vector<Field> got = others(read_);
    for (size_t i = 0; i < std::max(wanted.size(), got.size()); ++i) {
      if (i < wanted.size() && i < got.size() && wanted[i] == got[i]) continue;
      const auto text = [i](const std::vector<Field>& of) {
        return i < of.size() ? of[i].name + ": " + of[i].value : "";
      };
      return both("field " + std::to_string(i), text(wanted), text(got));
    }
    if (!promises_.forwarded.empty() &&
        !(read_.fields.back() == Field{"X-Forwarded-For", promises_.forwarded}))
      return "the last field is not ours, but " + quoted(read_.fields.back().name);
    return "";
  }
  static std::string_view name_of(std::string_view pair) {
    pair = pair.substr(0, pair.find('='));
    return pair.substr(0, pair.find_last_not_of(" \t\r\n") + 1);
  }
  // What begins with '$' goes with what stands before it (RFC 2965), be that a name without '=' or
  // nothing at all; of a line where nothing else is left all of it goes.
  std::vector<std::string> without_ours(const std::vector<std::string_view>& values) const {
    std::vector<std::string> all;
    for (std::string_view rest : values) {
      std::vector<std::string> left;
      bool goes = false, ours = false, others = false;
      for (bool more = true; more;) {
        const size_t end = rest.find(';');
        more = end != std::string_view::npos;
        const std::vector<std::string> one = pairs({rest.substr(0, end)});
        rest.remove_prefix(more ? end + 1 : rest.size());
        const std::string p = one.empty() ? "" : one[0];
        if (!p.starts_with('$')) {
          goes = p.find('=') != std::string::npos &&
                 std::find(promises_.cookies.begin(), promises_.cookies.end(), name_of(p)) !=
                     promises_.cookies.end();
          (goes ? ours : others) = true;
        }
        if (!goes && !p.empty()) left.push_back(p);
      }
      if (!ours || others) all.insert(all.end(), left.begin(), left.end());
    }
    return all;
  }
  std::string cookies() const {
    if (promises_.cookies.empty()) return "";
    const auto was = judged_.all("cookie");
    // What a quote or a comma in a cookie means is a matter of taste.
    for (const std::string_view v : was)
      if (v.find_first_of("\",") != std::string_view::npos) return "";
    const std::vector<std::string> wanted = without_ours(was), got = pairs(read_.all("cookie"));
    if (wanted == got) return "";
    const auto text = [](const std::vector<std::string>& of) {
      std::string all;
      for (const std::string& p : of) all += p + "; ";
      return all;
    };
    return both("cookies", text(wanted), text(got));
  }
  std::string h2c() const {
    if (!promises_.no_h2c) return "";
    if (has(elements(read_.all("upgrade")), "h2c")) return "HTTP/2 is asked for";
    if (h2c_ && !read_.all("http2-settings").empty()) return "settings of HTTP/2";
    if (h2c_ && has(elements(read_.all("connection")), "http2-settings"))
      return "settings of HTTP/2 are named";
    return "";
  }

  const Promises& promises_;
  const Message& judged_;
  const Message& read_;
  const bool h2c_;
};

std::string compare(const Promises& promises, const Message& judged, const Message& read,
                    bool passed) {
  if (std::string text = Comparison(promises, judged, read).head(); !text.empty()) return text;
  if (!read.complete)
    return judged.complete && passed ? "it ends later than it was judged to end" : "";
  if (!judged.complete) return "it ends sooner than it was judged to end";
  const size_t was = judged.end - judged.body, is = read.end - read.body;
  if (was != is) return "its body is " + std::to_string(is) + " octets, not " + std::to_string(was);
  if (judged.content.size() != read.content.size())
    return "its content is " + std::to_string(read.content.size()) + " octets, not " +
           std::to_string(judged.content.size());
  return judged.trailers == read.trailers ? "" : "its trailers are others";
}

std::string number(size_t i) {
  return "request " + std::to_string(i) + ": ";
}

}  // namespace

std::string complaint(const Judged& judged, const Got& got, const Promises& promises,
                      const Reading& how) {
  std::string_view octets = got.octets;
  const size_t n = std::min(octets.size(), promises.preamble.size());
  if (octets.substr(0, n) != std::string_view(promises.preamble).substr(0, n))
    return "the first octets are not ours";
  octets.remove_prefix(n);

  const Requests was = read(judged.octets, kLenient, got.switches);
  const size_t count =
      got.switches ? std::min(judged.messages.size(), *got.switches + 1) : judged.messages.size();
  if (was.messages.size() != count)
    return std::to_string(count) + " requests were judged, and " +
           std::to_string(was.messages.size()) + " are in the octets" +
           (was.error.empty() ? "" : ": " + was.error);
  for (size_t i = 0; i < count; ++i) {
    const Judged::Bounds& b = judged.messages[i];
    const Message& m = was.messages[i];
    if (b.body != m.body || b.complete != m.complete || (b.complete && b.end != m.end))
      return number(i) + "was judged to end elsewhere";
  }

  const Requests is = read(octets, how, got.switches);
  if (is.messages.size() > count) return number(count) + "was not judged";
  for (size_t i = 0; i < is.messages.size(); ++i)
    if (std::string text = compare(promises, was.messages[i], is.messages[i], got.all);
        !text.empty())
      return number(i) + text;
  if (!is.error.empty()) return number(is.messages.size()) + is.error;
  if (got.all && is.messages.size() < count) return number(is.messages.size()) + "was not read";
  return "";
}

std::string complaint(const Judged& judged, const Got& got, const Promises& promises) {
  for (const Reading& how : kReadings)
    if (const std::string text = complaint(judged, got, promises, how); !text.empty())
      return std::string(how.name) + " reader: " + text;
  return "";
}

}  // namespace limpet::oracle
