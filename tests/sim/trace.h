// A packet trace that a person can read: one line a frame, with what the network did to it.
#pragma once

#include <cstdio>
#include <map>
#include <span>
#include <string>
#include <tuple>

#include "limpet/base/time.h"
#include "packet.h"

namespace limpet::sim {

class Trace {
 public:
  // Lines go to `file`, or are kept for text() when there is none.
  explicit Trace(std::FILE* file = nullptr) : file_(file) {}

  // "  12.345678 client -> box  P. seq 1:101(100) [4294967200] ack 1 [7000] win 512 <...> lost"
  void frame(Instant now, const std::string& from, const std::string& to,
             std::span<const uint8_t> frame, const std::string& fate);
  void line(Instant now, const std::string& text);
  const std::string& text() const { return text_; }

 private:
  using End = std::tuple<IpAddress, uint16_t, IpAddress, uint16_t>;
  void write(const std::string& line);

  std::FILE* file_;
  std::string text_;
  std::map<End, uint32_t> isn_;
};

}  // namespace limpet::sim
