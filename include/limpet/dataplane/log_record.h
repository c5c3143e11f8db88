// One line of the request log, as a worker tells it to control: of a request in mode splice, of a
// flow in mode nat, at its end. Slots as they are at that moment; control looks names up
// (console/request_log.h). Crosses by an SP/SC ring; what finds it full is counted.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/base/forwarding.h"
#include "limpet/base/time.h"

namespace limpet::dataplane {

// Who ended it, and how.
enum class Ending : uint8_t {
  done,             // as it should
  client_abort,     // it closed or reset before its answer was through
  client_timeout,   // its head was slow, its body stopped, or it did not read
  backend_abort,    // it closed or reset before its answer was through
  backend_timeout,  // it did not answer in time, or stopped
  connect_failed,   // no backend took the connection
  connect_timeout,  // likewise, and the last one said nothing
  no_backend,       // there was none to be tried
  refused,          // the request, by limpet
  bad_response,     // refused, by limpet
  no_memory,        // of limpet
  backend_down,     // by its checks, or by hand
  gave_way,         // to others, when memory or ports were short
  replaced,         // its client began anew from the same port
  idle,             // nobody said anything for too long
  count_
};

// How far it had got.
enum class Phase : uint8_t {
  request,  // its head was not complete
  connect,  // no backend had taken the connection
  head,     // nothing of the response had come
  data,     // its body was under way
  none,     // it was over
  count_
};

constexpr size_t kEndings = static_cast<size_t>(Ending::count_);

// A word for each ("client_abort"), as users read it.
std::string_view ending_name(Ending ending);
// HAProxy's two letters of the termination state ("CD", "sH", "--"), of its httplog; of a flow in
// mode nat those of its tcplog.
std::array<char, 2> ending_letters(Ending ending, Phase phase);

// A duration that was never reached.
constexpr Duration kNever{-1};

struct LogRecord {
  static constexpr size_t kMaxPath = 128;
  static constexpr size_t kMaxVerb = 16;
  static constexpr uint8_t kNoEntry = 255;

  Instant ended;              // of CLOCK_MONOTONIC, as control's own
  Duration total{};           // from its first octet, or packet, to `ended`
  Duration head = kNever;     // until its head was complete
  Duration connect = kNever;  // of the first request of a connection: choice to SYN-ACK, all tries
  Duration first_byte = kNever;  // from its complete head, or the SYN-ACK, to its response's first
  uint64_t in = 0;   // splice: octets of the request that have left for the backend, as they came
  uint64_t out = 0;  // and of the response, for the client
  IpAddress client;
  be16 client_port{};
  be16 source_port{};  // ours, towards the backend
  uint16_t service = 0xffffu;
  uint16_t source = 0xffffu;   // slot of our address towards the backend
  uint16_t backend = 0xffffu;  // kNoSlot: there was none
  uint16_t backend_generation = 0;
  uint16_t status = 0;  // of the response, ours or the backend's; 0: none
  Forwarding forwarding = Forwarding::nat;
  uint8_t protocol = 0;      // IP protocol
  uint8_t reason = 0;        // affinity::Reason of the connection's backend
  uint8_t entry = kNoEntry;  // of the persistence list, that chose it
  Ending ending = Ending::done;
  Phase phase = Phase::none;
  uint8_t tries = 0;                  // backends that were tried for the connection
  uint8_t path_length = 0;            // octets of `path`
  bool path_cut = false;              // it was longer
  bool own = false;                   // the response is limpet's own
  std::array<char, kMaxVerb> verb{};  // its method, as it came; the rest is zero
  // Of the request target, without its query and without userinfo; octets as they came.
  std::array<char, kMaxPath> path{};

  std::string_view path_text() const { return {path.data(), path_length}; }
  std::string_view verb_text() const {
    size_t n = 0;
    while (n != verb.size() && verb[n] != 0) ++n;
    return {verb.data(), n};
  }
};
static_assert(sizeof(LogRecord) % 4 == 0 && sizeof(LogRecord) <= 256);

// What a worker tells; of the snapshot.
struct LogSettings {
  bool on = false;
  uint32_t sample = UINT32_MAX;  // of 2^32: how many requests and flows; all: UINT32_MAX
  bool operator==(const LogSettings&) const = default;
};

}  // namespace limpet::dataplane
