// Rules of a spliced service, and one direction of a connection as its splice sees it: for whatever
// drives sessions without a worker.
#pragma once

#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "exchange.h"

namespace limpet::dataplane::exchange_test {

using affinity::CookieMode;
using affinity::CookieSettings;
using affinity::RequestFlag;
using affinity::ResponseFlag;
using tcp::Seq;

inline CookieSettings cookie(CookieMode mode, std::string name = "SRV") {
  CookieSettings s;
  s.mode = mode;
  s.service = "web";
  s.name = std::move(name);
  s.sealed = false;
  s.path.clear();
  s.no_cache = false;
  s.indirect = mode == CookieMode::insert;
  return s;
}

inline HttpRules rules_of(std::vector<affinity::EntrySettings> entries,
                          Forwarded forwarded = Forwarded::none) {
  return compile_rules({"web", forwarded, 16384, std::move(entries)}).value();
}

inline HttpRules rules_of(const std::vector<CookieSettings>& cookies,
                          Forwarded forwarded = Forwarded::none) {
  return rules_of(std::vector<affinity::EntrySettings>(cookies.begin(), cookies.end()), forwarded);
}
inline HttpRules rules_of(std::initializer_list<CookieSettings> cookies,
                          Forwarded forwarded = Forwarded::none) {
  return rules_of(std::vector<affinity::EntrySettings>(cookies.begin(), cookies.end()), forwarded);
}

// One direction as the splice sees it: all octets that have come, in order.
struct Stream {
  tcp::StreamMap map{Seq{0xfffffff0u}, Seq{5000}};  // the numbers wrap soon
  Seq begin{0xfffffff0u};
  std::string came;
  bool fin = false;

  std::span<const uint8_t> beyond() const {
    const auto skip = static_cast<size_t>(map.frontier() - begin);
    if (skip >= came.size()) return {};
    return {reinterpret_cast<const uint8_t*>(came.data()) + skip, came.size() - skip};
  }
  void shown(const tcp::Shown& s) {
    map.advance(map.frontier() + s.final);
    if (s.open) map.open();
  }
  // What the receiver has got so far.
  std::string edited(tcp::EditPool& pool) {
    std::string out;
    Seq end = begin + static_cast<uint32_t>(came.size());
    if (!map.covers(end)) end = map.frontier();
    tcp::StreamMap::Cut cut(map, pool, begin, end, false);
    tcp::Emission e;
    while (end > begin && cut.next(100000, e))
      for (unsigned i = 0; i < e.pieces; ++i) {
        const tcp::Piece& p = e.piece[i];
        if (p.edit == tcp::kNoEdit)
          out += came.substr(p.offset, p.length);
        else
          out.append(reinterpret_cast<const char*>(pool.bytes(p.edit).data()) + p.offset, p.length);
      }
    return out;
  }
};

}  // namespace limpet::dataplane::exchange_test
