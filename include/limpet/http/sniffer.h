// Finds headers and cookies by name in a complete head.
//
// A Sniffer is compiled once, off the workers, from the names that a service is interested in; it
// is immutable and shared. Hyperscan finds the header lines in one pass over the head, whatever the
// number of names; cookies are then read from the Cookie and Set-Cookie lines by plain code, the
// way HAProxy reads them. Requests and responses have a Sniffer each.
//
// A name is found only at the start of a header line: never inside a value, never at the start of a
// folded line, never in the start line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "limpet/base/result.h"
#include "limpet/http/head.h"

namespace limpet::http {

enum class Look : uint8_t {
  header,      // a header line by its name, any case
  cookie,      // a pair in any Cookie line, by its exact name
  set_cookie,  // a Set-Cookie line, by the exact name of its pair
};

struct SnifferName {
  Look look = Look::header;
  std::string name;
  uint16_t id = 0;  // the caller's; hits carry it
  // Cookies only: the service takes this cookie out of its requests (HAProxy's `indirect`), so hits
  // say which bytes to remove.
  bool strip = false;
  // Look::cookie only: read as RFC 6265, 4.2 and 5.4, has it, so that the value is what a browser
  // sends of what it was told: it ends at ';' and nowhere else, quotes and commas are part of it.
  // Never stripped.
  bool whole = false;
  // Look::header only: its first line is a hit and further ones are none, however many there are.
  bool first = false;
};

struct SnifferSpec {
  static constexpr size_t kMaxNames = 64;
  static constexpr size_t kMaxNameLength = 64;
  // Each (look, name) at most once. Header names are tokens (RFC 9110, 5.6.2); cookie names are
  // printable ASCII without blank, quote, '=', ';' and ',', and do not begin with '$'.
  std::vector<SnifferName> names;
};

// One header or cookie that was found. Values keep quotes and, on folded lines, line ends.
//
// Cookies are read as HAProxy 2.6 reads them:
// - pairs are separated by ';' or ',' that are not within double quotes; blanks around names and
//   values are not part of them, blanks within are;
// - what begins with '$' is an attribute of the cookie before it and never a cookie;
// - a name without '=' is no cookie; "name=" is one with an empty value;
// - the same name may come several times, in one line and in several: all are hits, in order. (In
//   HAProxy the first that names a usable server wins.)
// - but for `whole` ones, whose hits stand behind all others of their line;
// - a Set-Cookie has one pair; its value ends at ',' or ';'. What stands behind the ';', its
// attributes,
//   is for whoever learns from it (affinity/learn.h).
struct Hit {
  uint16_t id = 0;
  Look look = Look::header;
  bool removes_line = false;  // `remove` is the whole line, as nothing would be left in it
  Range line;                 // the header line with its folded lines and its line end
  Range name;                 // of the header or cookie
  Range value;                // trimmed; of a cookie the value only
  // What to cut out so that the receiver does not see the cookie. Absent when there is nothing to
  // cut: headers (see `line`), cookies that are not stripped, and those that go with the hit before
  // them. Ranges of one head are ordered and do not overlap; cutting all of them leaves what
  // HAProxy leaves, but for the number of blanks around separators. Set-Cookie: the line.
  Range remove;
  friend bool operator==(const Hit&, const Hit&) = default;
};

enum class ScanStatus : uint8_t {
  complete,
  overflow,     // more hits than `out` has room for, or more than kMaxLines lines to read; the hits
                // that fit are found, but not everything that `remove` should say
  scratch_bad,  // the scratch does not fit this sniffer; nothing was found
  bounds_bad,   // the bounds are not of these bytes; nothing was found
};

struct ScanResult {
  size_t hits = 0;
  ScanStatus status = ScanStatus::complete;
  friend bool operator==(const ScanResult&, const ScanResult&) = default;
};

class Sniffer;

// What Hyperscan writes while it scans: one per worker. May be made and enlarged by any thread
// while the worker does not scan.
class SnifferScratch {
 public:
  SnifferScratch() = default;  // fits nothing yet
  SnifferScratch(SnifferScratch&&) noexcept = default;
  SnifferScratch& operator=(SnifferScratch&&) noexcept = default;
  ~SnifferScratch() = default;

  // Makes it large enough for `sniffer`, and keeps it so for those that it fitted before.
  Status fit(const Sniffer& sniffer);

 private:
  friend class Sniffer;
  struct Free {
    void operator()(void* scratch) const;
  };
  std::unique_ptr<void, Free> scratch_;
};

class Sniffer {
 public:
  // Lines of names looked for that one head may have. (HAProxy takes 101 header lines in all.)
  static constexpr size_t kMaxLines = 128;

  // The error names the entry that is at fault. An empty spec is a Sniffer that finds nothing.
  static Result<Sniffer> compile(const SnifferSpec& spec);

  Sniffer(Sniffer&&) noexcept;
  Sniffer& operator=(Sniffer&&) noexcept;
  ~Sniffer();

  // `head` holds a complete head with these bounds, of which a framer said `complete`. Hits come
  // in the order of their lines, and of their place in the line.
  ScanResult scan(std::span<const uint8_t> head, const HeadBounds& bounds, SnifferScratch& scratch,
                  std::span<Hit> out) const;

  // The same answer without Hyperscan, line by line: for tools, and to measure the other by.
  ScanResult scan_plain(std::span<const uint8_t> head, const HeadBounds& bounds,
                        std::span<Hit> out) const;

  size_t database_bytes() const;  // of the compiled database

 private:
  friend class SnifferScratch;
  struct Impl;
  explicit Sniffer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace limpet::http
