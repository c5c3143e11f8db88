// The same hits as Sniffer's, found in the plainest way: strings, one character at a time, and
// HAProxy's rules as they are told rather than as ranges. Tests and fuzzers compare the two.
#pragma once

#include <string>
#include <vector>

#include "limpet/http/sniffer.h"

namespace limpet::http::test {

// Everything but `remove` and `removes_line`, which expect_removals() judges.
std::vector<Hit> oracle_hits(const std::string& head, const HeadBounds& bounds,
                             const SnifferSpec& spec);

// Cuts out every Hit::remove, back to front. Requires them to be ordered and not to overlap;
// otherwise the answer says what is wrong.
std::string cut(const std::string& head, const std::vector<Hit>& hits);

// The header lines that a backend sees when the spec's stripped cookies have gone, each in a
// canonical form: blanks around separators do not count.
std::vector<std::string> lines_after_strip(const std::string& head, const HeadBounds& bounds,
                                           const SnifferSpec& spec);
// The header lines of `head` in the same form; `headers` is where they begin.
std::vector<std::string> lines_of(const std::string& head, uint32_t headers);

}  // namespace limpet::http::test
