// Any head that a framer accepts, through Hyperscan's way, the plain way and the tests' oracle: the
// same hits, and after cutting what they say the same lines.
//
// Input: one byte that chooses the names and the room for hits, then the head.
#include <array>

#include "../../unit/http/oracle.h"
#include "../http_pieces.h"
#include "limpet/http/request.h"
#include "limpet/http/response.h"
#include "limpet/http/sniffer.h"

namespace limpet::http::fuzz {
namespace {

struct Compiled {
  SnifferSpec spec;
  Sniffer sniffer;
  SnifferScratch scratch;
};

Compiled compile(std::vector<SnifferName> names) {
  SnifferSpec spec{std::move(names)};
  auto r = Sniffer::compile(spec);
  require(r.ok(), "the names compile");
  Compiled c{std::move(spec), std::move(r).value(), {}};
  require(c.scratch.fit(c.sniffer).ok(), "scratch can be had");
  return c;
}

Compiled& compiled(unsigned which) {
  static std::array<Compiled, 5> all{
      compile({{Look::cookie, "S", 1, true}}),
      compile({{Look::cookie, "S", 1, true},
               {Look::cookie, "T", 2, true},
               {Look::cookie, "A", 3, false},
               {Look::header, "X", 4, false},
               {Look::header, "cookie", 5, false}}),
      compile({{Look::cookie, "S", 1, false, true},
               {Look::cookie, "T", 2, true},
               {Look::cookie, "A", 3, false, true}}),
      compile({{Look::set_cookie, "S", 1, true},
               {Look::set_cookie, "A", 2, false},
               {Look::header, "Set-Cookie", 3, false}}),
      compile({{Look::header, "Host", 1, false},
               {Look::header, "X", 2, false},
               {Look::header, "X-Y", 3, false}}),
  };
  return all[which % all.size()];
}

bool bounds_of(const Bytes& b, HeadBounds& bounds) {
  RequestFramer request;
  RequestHead r;
  if (request.feed(b, r) == Fed::complete) {
    bounds = r.bounds;
    return true;
  }
  ResponseFramer response(Method::get);
  ResponseHead s;
  if (response.feed(b, s) != Fed::complete) return false;
  bounds = s.bounds;
  return true;
}

void check_ranges(const Hit& h, const HeadBounds& b) {
  require(inside(h.line, b.headers, b.empty_line) && h.line.present(), "lines are in the head");
  require(h.line.begin <= h.name.begin && h.name.begin < h.name.end && h.name.end < h.value.end + 1,
          "a name stands before its value");
  for (const Range r : {h.name, h.value, h.remove})
    require(inside(r, h.line.begin, h.line.end), "a hit is in its line");
  require(h.removes_line == (h.remove == h.line), "removes_line says so");
}

void run(const uint8_t* data, size_t size) {
  if (size == 0) return;
  Compiled& c = compiled(data[0]);
  const size_t room = data[0] >= 128 ? data[0] / 4 % 8 : 256;
  const Bytes bytes(data + 1, data + size);
  HeadBounds bounds;
  if (!bounds_of(bytes, bounds)) return;
  const Bytes head = copy(std::span(bytes).first(bounds.end));

  std::vector<Hit> hits(room), plain(room);
  const ScanResult result = c.sniffer.scan(head, bounds, c.scratch, hits);
  require(c.sniffer.scan_plain(head, bounds, plain) == result, "both ways find as many");
  require(result.status != ScanStatus::scratch_bad && result.hits <= room, "the scratch fits");
  hits.resize(result.hits);
  plain.resize(result.hits);
  require(hits == plain, "both ways find the same");
  for (const Hit& h : hits) check_ranges(h, bounds);

  const std::string text(head.begin(), head.end());
  std::vector<Hit> expected = test::oracle_hits(text, bounds, c.spec);
  if (result.status == ScanStatus::overflow) {
    require(result.hits == room || result.hits <= expected.size(), "overflow has a cause");
    expected.resize(std::min(expected.size(), result.hits));
  }
  std::vector<Hit> bare = hits;
  for (Hit& h : bare) {
    h.remove = {};
    h.removes_line = false;
  }
  require(bare == expected, "the oracle finds the same");
  if (result.status == ScanStatus::overflow) return;
  require(test::lines_of(test::cut(text, hits), bounds.headers) ==
              test::lines_after_strip(text, bounds, c.spec),
          "cutting leaves what HAProxy leaves");
}

}  // namespace
}  // namespace limpet::http::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::http::fuzz::run(data, size);
  return 0;
}
