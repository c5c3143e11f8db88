#include "names.h"

#include <fmt/format.h>

#include "cookies.h"

namespace limpet::http {
namespace {

const char* word(Look look) {
  switch (look) {
    case Look::header:
      return "header";
    case Look::cookie:
      return "cookie";
    case Look::set_cookie:
      return "Set-Cookie cookie";
  }
  return "?";
}

bool may_be_in_cookie_name(uint8_t c) {
  return c > ' ' && c < 127 && c != '=' && c != ';' && c != ',' && c != '"';
}

// What is wrong with the name, or empty.
std::string problem(const SnifferName& n) {
  if (n.name.empty()) return "it is empty";
  if (n.name.size() > SnifferSpec::kMaxNameLength)
    return fmt::format("it is longer than {} characters", SnifferSpec::kMaxNameLength);
  for (const char character : n.name) {
    const auto c = static_cast<uint8_t>(character);
    if (n.look == Look::header ? !is_token(c) : !may_be_in_cookie_name(c))
      return c > ' ' && c < 127 ? fmt::format("it may not contain '{}'", character)
                                : fmt::format("it may not contain the byte 0x{:02x}", c);
  }
  if (n.look != Look::header && n.name[0] == '$') return "it may not begin with '$'";
  return {};
}

std::string lower_case(std::string_view s) {
  std::string r(s);
  for (char& c : r) c = static_cast<char>(lower(static_cast<uint8_t>(c)));
  return r;
}

}  // namespace

Result<Names> Names::of(const SnifferSpec& spec) {
  if (spec.names.size() > SnifferSpec::kMaxNames)
    return Error{fmt::format("{} names to look for in a head; at most {} are possible",
                             spec.names.size(), SnifferSpec::kMaxNames)};
  Names r;
  for (const SnifferName& n : spec.names) {
    if (const std::string why = problem(n); !why.empty())
      return Error{fmt::format("'{}' cannot be the name of a {}: {}", n.name, word(n.look), why)};
    bool twice = false;
    if (n.look == Look::header) {
      Stop& s = r.stop(lower_case(n.name));
      twice = s.header;
      s.header = true;
      s.header_id = n.id;
      s.first = n.first;
    } else {
      const bool request = n.look == Look::cookie;
      Stop& s = r.stop(request ? "cookie" : "set-cookie");
      (request ? s.cookies : s.set_cookies) = true;
      std::vector<Cookie>& cookies = request ? r.cookies_ : r.set_cookies_;
      twice = r.find(cookies, n.name) != nullptr;
      cookies.push_back({n.name, n.id, n.strip, request && n.whole});
      r.any_whole_ = r.any_whole_ || cookies.back().whole;
    }
    if (twice) return Error{fmt::format("the {} '{}' is listed twice", word(n.look), n.name)};
  }
  return r;
}

Names::Stop& Names::stop(std::string_view name) {
  for (Stop& s : stops_)
    if (s.name == name) return s;
  stops_.push_back({.name = std::string(name)});
  return stops_.back();
}

const Names::Cookie* Names::find(const std::vector<Cookie>& among, std::string_view name) const {
  for (const Cookie& c : among)
    if (c.name == name) return &c;
  return nullptr;
}

void Names::read(Bytes head, const Line& l, const Stop& stop, Out& out) const {
  static_assert(SnifferSpec::kMaxNames <= 64);
  const uint64_t bit = uint64_t{1} << (&stop - stops_.data());
  const bool again = (std::exchange(out.seen, out.seen | bit) & bit) != 0;
  if (stop.header && !(again && stop.first)) {
    if (Hit* h = out.add()) {
      h->id = stop.header_id;
      h->line = l.line;
      h->name = l.name;
      h->value = l.value;
    }
  }
  if (stop.cookies) read_cookies(head, l, out);
  if (stop.set_cookies) read_set_cookie(head, l, out);
}

void Names::read_cookies(Bytes head, const Line& l, Out& out) const {
  CookieReader reader(head, l.value);
  Stripper stripper(head, l.value);
  const size_t first = out.hits;
  Hit* run = nullptr;  // the hit that began the run of stripped cookies, if it found room
  Pair p;
  while (reader.next(p)) {
    if (p.kind == PairKind::attribute) continue;
    const Cookie* c = p.kind == PairKind::cookie ? find(cookies_, text_of(head, p.name)) : nullptr;
    if (c != nullptr && c->whole) c = nullptr;
    if (c == nullptr || !c->strip) {
      if (stripper.running()) {
        const Range gone = stripper.keep(p);
        if (run != nullptr) run->remove = gone;
      } else {
        stripper.keep();
      }
    }
    if (c == nullptr) continue;
    Hit* h = out.add();
    if (h != nullptr) {
      h->id = c->id;
      h->look = Look::cookie;
      h->line = l.line;
      h->name = p.name;
      h->value = p.value;
    }
    if (c->strip && stripper.strip(p)) run = h;
  }
  if (stripper.empties()) {
    bool done = false;
    for (size_t i = first; i < out.hits; ++i) {
      Hit& h = out.room[i];
      h.remove = {};
      const Cookie* c = find(cookies_, text_of(head, h.name));
      if (done || c == nullptr || !c->strip) continue;
      h.remove = l.line;
      h.removes_line = done = true;
    }
  } else if (stripper.running()) {
    const Range gone = stripper.end();
    if (run != nullptr) run->remove = gone;
  }
  if (any_whole_) read_whole_cookies(head, l, out);
}

void Names::read_whole_cookies(Bytes head, const Line& l, Out& out) const {
  for_each_plain_pair(head, l.value, [&](Range name, Range value) {
    const Cookie* c = find(cookies_, text_of(head, name));
    if (c == nullptr || !c->whole) return;
    Hit* h = out.add();
    if (h == nullptr) return;
    h->id = c->id;
    h->look = Look::cookie;
    h->line = l.line;
    h->name = name;
    h->value = value;
  });
}

void Names::read_set_cookie(Bytes head, const Line& l, Out& out) const {
  const Pair p = pair_at(head, l.value.begin, l.value.end, ';');
  if (p.kind != PairKind::cookie) return;
  const Cookie* c = find(set_cookies_, text_of(head, p.name));
  if (c == nullptr) return;
  Hit* h = out.add();
  if (h == nullptr) return;
  h->id = c->id;
  h->look = Look::set_cookie;
  h->line = l.line;
  h->name = p.name;
  h->value = p.value;
  if (!c->strip) return;
  h->remove = l.line;
  h->removes_line = true;
}

}  // namespace limpet::http
