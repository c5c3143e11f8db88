// What endpoints and networks count. One list, so that sums and tables cannot forget a member.
#pragma once

#include <cstdint>

namespace limpet::sim {

#define LIMPET_SIM_COUNTS(X)                                               \
  X(segments_sent)                                                         \
  X(segments_received)                                                     \
  X(retransmissions)  /* segments with octets that were sent before */     \
  X(fast_retransmits) /* recoveries entered by duplicate ACKs or SACK */   \
  X(tail_probes)                                                           \
  X(rtos) /* retransmission timer expired, SYN and FIN included */         \
  X(sack_blocks_sent)                                                      \
  X(sack_blocks_received)                                                  \
  X(dsacks_sent)                                                           \
  X(dsacks_received)                                                       \
  X(duplicate_acks)                                                        \
  X(out_of_order)       /* segments that were kept beyond a gap */         \
  X(duplicate_data)     /* segments with octets that were there already */ \
  X(zero_windows)       /* advertised after a window that was open */      \
  X(windows_taken_back) /* advertised less than before */                  \
  X(windows_went_back)  /* heard of from the peer */                       \
  X(beyond_taken_back)  /* octets long after the window was taken back */  \
  X(window_updates)                                                        \
  X(persist_probes)                                                        \
  X(keepalives)                                                            \
  X(challenge_acks)                                                        \
  X(paws_drops)                                                            \
  X(syn_recv_refused) /* Linux: TSecr outside of the SYN-ACKs' TSvals */   \
  X(unacceptable)     /* segments outside of the window */                 \
  X(resets_sent)                                                           \
  X(resets_received)                                                       \
  X(resets_ignored) /* not at the exact rcv_nxt */                         \
  X(mtu_reductions)                                                        \
  X(mtu_ignored)         /* packet too big about nothing in flight */      \
  X(seq_wraps)           /* data passed 2^32, either direction */          \
  X(timestamp_wraps)     /* own clock passed 2^32 */                       \
  X(simultaneous_closes) /* FIN while our own FIN is not acknowledged */   \
  X(fins_again)          /* FIN retransmitted */                           \
  X(delayed_acks)                                                          \
  X(nagle_waits)                                                           \
  X(checksum_drops)

struct Counts {
#define LIMPET_SIM_MEMBER(name) uint64_t name = 0;
  LIMPET_SIM_COUNTS(LIMPET_SIM_MEMBER)
#undef LIMPET_SIM_MEMBER

  template <class F>
  void each(F f) const {
#define LIMPET_SIM_EACH(name) f(#name, name);
    LIMPET_SIM_COUNTS(LIMPET_SIM_EACH)
#undef LIMPET_SIM_EACH
  }
  Counts& operator+=(const Counts& o) {
#define LIMPET_SIM_ADD(name) name += o.name;
    LIMPET_SIM_COUNTS(LIMPET_SIM_ADD)
#undef LIMPET_SIM_ADD
    return *this;
  }
};

}  // namespace limpet::sim
