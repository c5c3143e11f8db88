// SYN cookies: everything that a client's SYN said and the final ACK does not say again, in the
// numbers of our SYN-ACK (Bernstein 1996; RFC 4987, 3.6). So a SYN costs no memory, and a flow is
// made only by a client that has proved its address and sent data.
//
//   without timestamps   ISN  = MSS 3 | scale 4 | SACK 1 | epoch 2 | MAC 22 bits
//   with timestamps      ISN  = MSS 3 | MAC 29 bits
//                        TSval = clock in ms, its low 7 bits: scale 4 | SACK 1 | epoch 2
//
// Windows clients send no timestamps, and scale and SACK must survive for them too. Scale 15 means
// that the client offered none: scaling by 0 and no scaling are different promises.
//
// The MAC is SipHash-2-4 over the addresses, the ports, the client's initial sequence number, all
// of the bits above and the whole number of the epoch, cut to what fits: a blind ACK passes with a
// probability below 2^-22 or 2^-29. An epoch is 100 s; a cookie is good in its own and the
// following two, so for 200 to 300 s, and told apart as `stale` in the one after. Its key is
// derived from the process's secret and the epoch, so no key authenticates for longer than that.
//
// Owner: one worker; immutable but for the kept epoch keys. No clock: time is a parameter.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/base/hash.h"
#include "limpet/base/time.h"

namespace limpet::tcp {

struct Tuple {  // as the client sees it
  IpAddress client;
  IpAddress vip;  // of the same family
  be16 client_port{};
  be16 port{};
};

struct Offer {
  uint16_t mss = 536;                   // of the client: the most that it takes
  std::optional<uint8_t> window_scale;  // 0 .. 14
  bool sack = false;
  bool timestamps = false;
  friend bool operator==(const Offer&, const Offer&) = default;
};

struct SynAck {
  uint32_t isn = 0;
  uint32_t tsval = 0;  // meaningful when the offer had timestamps
};

enum class CookieVerdict : uint8_t {
  valid,
  stale,   // was valid: the client has waited too long, and a reset lets it try again
  forged,  // not one of ours, or not for these numbers
};

struct CookieCheck {
  CookieVerdict verdict = CookieVerdict::forged;
  Offer offer;  // when not forged; the MSS is the largest of the table that is not above the offer
};

class SynCookies {
 public:
  static constexpr Duration kEpoch = std::chrono::seconds(100);
  static constexpr unsigned kGoodEpochs = 3;  // the running one and those before it
  static constexpr uint32_t kTsBits = 7;

  explicit SynCookies(const HashKey& secret) : secret_(secret) {}

  // What answers a SYN with sequence number `isn_client`.
  SynAck make(const Tuple& tuple, uint32_t isn_client, const Offer& offer, Instant now);

  // A segment acknowledges `isn` + 1 with sequence number `isn_client` + 1, and echoes `tsecr` when
  // it has the timestamp option.
  CookieCheck check(const Tuple& tuple, uint32_t isn_client, uint32_t isn,
                    std::optional<uint32_t> tsecr, Instant now);

  // The value that a cookie can tell for an MSS: the largest of the family's table not above it.
  static uint16_t representable_mss(Family family, uint16_t mss);

 private:
  struct EpochKey {
    uint32_t epoch = 0;
    bool known = false;
    HashKey key{};
  };
  const HashKey& key_of(uint32_t epoch);
  uint32_t mac(const Tuple& tuple, uint32_t isn_client, uint32_t bits, uint32_t epoch);

  HashKey secret_;
  std::array<EpochKey, 4> keys_;  // by the low bits of the epoch
};

}  // namespace limpet::tcp
