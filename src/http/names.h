// The names of a SnifferSpec, arranged for the scan: which lines to stop at, and what to read
// there.
#pragma once

#include <string>
#include <vector>

#include "limpet/http/sniffer.h"
#include "lines.h"

namespace limpet::http {

class Names {
 public:
  static Result<Names> of(const SnifferSpec& spec);

  // A header name whose lines are of interest, in lower case. An anchor is one such line; a head
  // may have kMaxAnchors of them.
  struct Stop {
    std::string name;
    bool cookies = false;
    bool set_cookies = false;
    bool header = false;
    bool first = false;  // of the header
    uint16_t header_id = 0;
  };
  const std::vector<Stop>& stops() const { return stops_; }

  // Where hits go. A hit for which there is no room sets `overflow`.
  struct Out {
    std::span<Hit> room;
    size_t hits = 0;
    bool overflow = false;
    uint64_t seen = 0;  // by stop: a line of it has come

    Hit* add() {
      if (hits == room.size()) {
        overflow = true;
        return nullptr;
      }
      return &(room[hits++] = Hit{});
    }
    ScanResult result() const {
      return {hits, overflow ? ScanStatus::overflow : ScanStatus::complete};
    }
  };

  // The hits of one line, whose name is that stop's.
  void read(Bytes head, const Line& l, const Stop& stop, Out& out) const;

 private:
  struct Cookie {
    std::string name;
    uint16_t id;
    bool strip;
    bool whole;
  };
  const Cookie* find(const std::vector<Cookie>& among, std::string_view name) const;
  Stop& stop(std::string_view name);
  void read_cookies(Bytes head, const Line& l, Out& out) const;
  void read_whole_cookies(Bytes head, const Line& l, Out& out) const;
  void read_set_cookie(Bytes head, const Line& l, Out& out) const;

  std::vector<Stop> stops_;
  std::vector<Cookie> cookies_;
  std::vector<Cookie> set_cookies_;
  bool any_whole_ = false;  // of cookies_
};

}  // namespace limpet::http
