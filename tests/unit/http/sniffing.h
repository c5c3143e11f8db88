// One head through every way of finding its hits, which must agree.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "limpet/http/sniffer.h"
#include "oracle.h"
#include "text.h"

namespace limpet::http::test {

struct Compiled {
  SnifferSpec spec;
  Sniffer sniffer;
  SnifferScratch scratch;

  explicit Compiled(SnifferSpec s) : spec(std::move(s)), sniffer(compile(spec)) {
    EXPECT_TRUE(scratch.fit(sniffer).ok());
  }
  static Sniffer compile(const SnifferSpec& spec) {
    auto r = Sniffer::compile(spec);
    EXPECT_TRUE(r.ok()) << r.error();
    return std::move(r).value();
  }
};

inline HeadBounds bounds_of(const std::string& head) {
  const auto b = bytes(head);
  if (head.starts_with("HTTP/")) {
    ResponseFramer framer(Method::get);
    ResponseHead r;
    EXPECT_EQ(framer.feed(b, r), Fed::complete) << refusal_name(framer.refusal());
    return r.bounds;
  }
  RequestFramer framer;
  RequestHead r;
  EXPECT_EQ(framer.feed(b, r), Fed::complete) << refusal_name(framer.refusal());
  return r.bounds;
}

// The hits of Hyperscan's way, after comparing with the plain one and the oracle.
inline std::vector<Hit> sniff(Compiled& c, const std::string& head) {
  const auto b = bytes(head);
  const HeadBounds bounds = bounds_of(head);
  std::vector<Hit> hits(64), plain(64);
  const ScanResult r = c.sniffer.scan(b, bounds, c.scratch, hits);
  EXPECT_EQ(r.status, ScanStatus::complete);
  EXPECT_EQ(c.sniffer.scan_plain(b, bounds, plain), r);
  hits.resize(r.hits);
  plain.resize(r.hits);
  EXPECT_TRUE(hits == plain) << "Hyperscan and plain code differ";
  std::vector<Hit> bare = hits;
  for (Hit& h : bare) {
    h.remove = {};
    h.removes_line = false;
  }
  EXPECT_TRUE(bare == oracle_hits(head, bounds, c.spec)) << "the oracle differs";
  EXPECT_EQ(lines_of(cut(head, hits), bounds.headers), lines_after_strip(head, bounds, c.spec));
  return hits;
}

// "SRV=a | SID=b"
inline std::string describe(const std::string& head, const std::vector<Hit>& hits) {
  std::string s;
  const auto b = bytes(head);
  for (const Hit& h : hits)
    s += (s.empty() ? "" : " | ") + text(b, h.name) + "=" + text(b, h.value);
  return s;
}

}  // namespace limpet::http::test
