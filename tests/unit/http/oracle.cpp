#include "oracle.h"

#include <algorithm>
#include <cctype>

namespace limpet::http::test {
namespace {

bool blank(char c) {
  return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

std::string lower(std::string s) {
  for (char& c : s)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return s;
}

Range trim(const std::string& s, size_t begin, size_t end) {
  while (begin < end && blank(s[begin])) ++begin;
  while (end > begin && blank(s[end - 1])) --end;
  return {static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
}

std::string at(const std::string& s, Range r) {
  return s.substr(r.begin, r.size());
}

struct HeaderLine {
  Range line, name, value;
};

// A line goes on where the next one begins with a blank.
std::vector<HeaderLine> header_lines(const std::string& head, size_t begin) {
  std::vector<HeaderLine> lines;
  while (begin < head.size() && head[begin] != '\r' && head[begin] != '\n') {
    size_t end = head.find('\n', begin) + 1;
    while (head[end] == ' ' || head[end] == '\t') end = head.find('\n', end) + 1;
    const size_t colon = head.find(':', begin);
    HeaderLine l;
    l.line = {static_cast<uint32_t>(begin), static_cast<uint32_t>(end)};
    l.name = {static_cast<uint32_t>(begin), static_cast<uint32_t>(colon)};
    l.value = trim(head, colon + 1, end - 1);
    lines.push_back(l);
    begin = end;
  }
  return lines;
}

struct Segment {
  Range text, name, value;
  bool has_equal = false;
  bool attribute = false;
};

// Cuts a Cookie value at its separators. Quotes only mean something behind the '='.
std::vector<Segment> segments(const std::string& s, Range value, const std::string& separators) {
  std::vector<Segment> found;
  if (value.empty()) return found;
  size_t begin = value.begin;
  while (begin <= value.end) {
    Segment g;
    size_t i = begin, equal = 0;
    bool quoted = false;
    for (; i < value.end; ++i) {
      if (!g.has_equal) {
        if (separators.find(s[i]) != std::string::npos) break;
        if (s[i] == '=') {
          g.has_equal = true;
          equal = i;
        }
      } else if (quoted && s[i] == '\\') {
        if (i + 1 < value.end) ++i;
      } else if (s[i] == '"') {
        quoted = !quoted;
      } else if (!quoted && (s[i] == ';' || s[i] == ',')) {
        break;
      }
    }
    g.text = trim(s, begin, i);
    g.attribute = !g.text.empty() && s[g.text.begin] == '$';
    if (g.has_equal) {
      g.name = trim(s, begin, equal);
      g.value = trim(s, equal + 1, i);
    }
    found.push_back(g);
    begin = i + 1;
  }
  return found;
}

const SnifferName* wanted(const SnifferSpec& spec, Look look, const std::string& name) {
  for (const SnifferName& n : spec.names)
    if (n.look == look && (look == Look::header ? lower(n.name) == lower(name) : n.name == name))
      return &n;
  return nullptr;
}

bool looks_for(const SnifferSpec& spec, Look look) {
  return std::any_of(spec.names.begin(), spec.names.end(),
                     [&](const SnifferName& n) { return n.look == look; });
}

std::string joined(const std::vector<std::string>& parts) {
  std::string s;
  for (size_t i = 0; i < parts.size(); ++i) s += (i > 0 ? ";" : "") + parts[i];
  return s;
}

std::string canonical(const std::string& head, const HeaderLine& l) {
  const std::string name = lower(at(head, l.name));
  if (name != "cookie") return name + ":" + at(head, l.value);
  std::vector<std::string> parts;
  for (const Segment& g : segments(head, l.value, ";,")) parts.push_back(at(head, g.text));
  return name + ":" + joined(parts);
}

}  // namespace

std::vector<Hit> oracle_hits(const std::string& head, const HeadBounds& bounds,
                             const SnifferSpec& spec) {
  std::vector<Hit> hits;
  std::vector<const SnifferName*> once;
  const auto add = [&](const SnifferName& n, const HeaderLine& l, Range name, Range value) {
    Hit h;
    h.id = n.id;
    h.look = n.look;
    h.line = l.line;
    h.name = name;
    h.value = value;
    hits.push_back(h);
  };
  for (const HeaderLine& l : header_lines(head, bounds.headers)) {
    const std::string name = at(head, l.name);
    if (const SnifferName* n = wanted(spec, Look::header, name))
      if (!n->first || std::find(once.begin(), once.end(), n) == once.end()) {
        add(*n, l, l.name, l.value);
        once.push_back(n);
      }
    if (lower(name) == "cookie")
      for (const Segment& g : segments(head, l.value, ";,"))
        if (g.has_equal && !g.attribute)
          if (const SnifferName* n = wanted(spec, Look::cookie, at(head, g.name)); n && !n->whole)
            add(*n, l, g.name, g.value);
    if (lower(name) == "cookie")
      for (size_t begin = l.value.begin; begin < l.value.end;) {
        const size_t end = std::min<size_t>(head.find(';', begin), l.value.end);
        const size_t equal = head.find('=', begin);
        if (equal < end) {
          const Range pair = trim(head, begin, equal);
          const SnifferName* n = wanted(spec, Look::cookie, at(head, pair));
          if (n != nullptr && n->whole) add(*n, l, pair, trim(head, equal + 1, end));
        }
        begin = end + 1;
      }
    if (lower(name) == "set-cookie") {
      const auto all = segments(head, l.value, ";");
      if (all.empty() || !all[0].has_equal) continue;
      const SnifferName* n = wanted(spec, Look::set_cookie, at(head, all[0].name));
      if (n == nullptr) continue;
      add(*n, l, all[0].name, all[0].value);
    }
  }
  return hits;
}

std::string cut(const std::string& head, const std::vector<Hit>& hits) {
  std::string s = head;
  size_t limit = head.size();
  for (auto h = hits.rbegin(); h != hits.rend(); ++h) {
    if (!h->remove.present()) continue;
    if (h->remove.end > limit || h->remove.begin >= h->remove.end) return "overlapping removals";
    if (h->removes_line != (h->remove == h->line)) return "removes_line is wrong";
    limit = h->remove.begin;
    s.erase(h->remove.begin, h->remove.size());
  }
  return s;
}

std::vector<std::string> lines_after_strip(const std::string& head, const HeadBounds& bounds,
                                           const SnifferSpec& spec) {
  std::vector<std::string> result;
  for (const HeaderLine& l : header_lines(head, bounds.headers)) {
    const std::string name = lower(at(head, l.name));
    if (name == "set-cookie" && looks_for(spec, Look::set_cookie)) {
      const auto all = segments(head, l.value, ";");
      const SnifferName* n = all.empty() || !all[0].has_equal
                                 ? nullptr
                                 : wanted(spec, Look::set_cookie, at(head, all[0].name));
      if (n != nullptr && n->strip) continue;
    }
    if (name != "cookie" || !looks_for(spec, Look::cookie)) {
      result.push_back(canonical(head, l));
      continue;
    }
    // A stripped cookie takes the attributes behind it along. When nothing is left but attributes,
    // or nothing at all, the line goes.
    std::vector<std::string> kept;
    bool stripped = false, dropping = false, leading = false, kept_cookie = false;
    for (const Segment& g : segments(head, l.value, ";,")) {
      const SnifferName* n =
          g.has_equal && !g.attribute ? wanted(spec, Look::cookie, at(head, g.name)) : nullptr;
      if (n != nullptr && n->strip) {
        if (!dropping) leading = joined(kept).empty();
        stripped = dropping = true;
        continue;
      }
      if (g.attribute && dropping) continue;
      if (!g.attribute) {
        // What is cut from the front takes an empty pair before it along.
        if (dropping && leading) kept.clear();
        dropping = false;
        kept_cookie = true;
      }
      kept.push_back(at(head, g.text));
    }
    if (stripped && (!kept_cookie || joined(kept).empty())) continue;
    result.push_back(name + ":" + joined(kept));
  }
  return result;
}

std::vector<std::string> lines_of(const std::string& head, uint32_t headers) {
  std::vector<std::string> result;
  for (const HeaderLine& l : header_lines(head, headers)) result.push_back(canonical(head, l));
  return result;
}

}  // namespace limpet::http::test
