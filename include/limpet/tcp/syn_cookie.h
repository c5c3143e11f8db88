// SYN cookies: what a client's SYN said and the final ACK does not say again, in the numbers of our
// SYN-ACK (Bernstein 1996; RFC 4987, 3.6), for clients who find no place among the half-open ones
// (half_open.h). So a flood of SYNs costs no more memory than there is, and hinders nobody.
//
//   with timestamps      ISN  = MSS 3 | MAC 21 | stage 8 bits
//                        TSval = clock in ms, its low 7 bits: scale 4 | SACK 1 | epoch 2
//   without timestamps   ISN  = MSS 2 | epoch 1 | MAC 21 | stage 8 bits
//
// Of the 2^32 numbers that a blind ACK may try eight are good, one for each value of the bits in
// front of the MAC: a guess passes with a probability of 2^-29, either way. For that there is no
// room for scale and SACK without timestamps: such a client is promised neither, as Linux does it
// (tcp_syncookies), and a cookie is the exception. Scale 15 means that the client offered none:
// scaling by 0 and no scaling are different promises.
//
// The stage is a keyed hash of the tuple alone, in the bits that the first octet of an answer
// changes: whoever acknowledges a number with the right stage has heard nothing but a SYN-ACK of
// ours, whatever its own number is. It tells the second segment of a head whose first was lost from
// a segment of a connection that is known no more. To those who do not know the tuple's stage it is
// as good as MAC; its owner knows it, and has no need to guess.
//
// The MAC is SipHash-2-4 over the tuple, the client's initial sequence number, the bits in front of
// it and the whole number of the epoch. An epoch is 150 s; a cookie is good in its own and the next
// one, so for 150 to 300 s, and told apart as `stale` for at least as long again. Its key is
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
#include "limpet/tcp/half_open.h"

namespace limpet::tcp {

struct Tuple {  // as the client sees it
  IpAddress client;
  IpAddress vip;  // of the same family
  be16 client_port{};
  be16 port{};
};

// Keys of different uses from one secret.
HashKey derived_key(const HashKey& secret, uint64_t use);

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
  static constexpr Duration kEpoch = std::chrono::seconds(150);
  static constexpr unsigned kGoodEpochs = 2;  // the running one and the one before it
  static constexpr uint32_t kTsBits = 7;
  static constexpr uint32_t kStage = 0xff;

  explicit SynCookies(const HashKey& secret) : secret_(secret) {}

  // What a cookie can promise of what a client offers.
  static Offer representable(Family family, Offer offer);
  static uint32_t stage(uint64_t tuple_hash) { return static_cast<uint32_t>(tuple_hash >> 56); }

  // What answers a SYN with sequence number `isn_client` and a representable offer, of the tuple
  // with this hash, which nobody else may be able to compute.
  SynAck make(Family family, uint64_t tuple_hash, uint32_t isn_client, const Offer& offer,
              Instant now);

  // A segment acknowledges `isn` + 1 with sequence number `isn_client` + 1, and echoes `tsecr` when
  // it has the timestamp option.
  CookieCheck check(Family family, uint64_t tuple_hash, uint32_t isn_client, uint32_t isn,
                    std::optional<uint32_t> tsecr, Instant now);

 private:
  struct EpochKey {
    uint32_t epoch = 0;
    bool known = false;
    HashKey key{};
  };
  const HashKey& key_of(uint32_t epoch);
  uint32_t mac(uint64_t tuple_hash, uint32_t isn_client, uint32_t bits, uint32_t epoch);

  HashKey secret_;
  std::array<EpochKey, 4> keys_;  // by the low bits of the epoch
};

}  // namespace limpet::tcp
