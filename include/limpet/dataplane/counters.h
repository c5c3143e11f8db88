// Counters of one worker. Plain: the worker is the only writer, on cache lines of its own; the
// control thread reads them at any time and sums over the workers.
//
// Two identities hold whenever no burst is under way (design: nothing is lost), summed or alone:
//   rx + handed_in = forwarded + consumed + handed_out + punted + sum(drops) + held.packets
//   tx = forwarded + originated - tx_failed
// and over all workers handed_out = handed_in + rings.out_dropped.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "limpet/affinity/choose.h"
#include "limpet/affinity/persistence.h"
#include "limpet/affinity/reason.h"
#include "limpet/base/drop.h"
#include "limpet/dataplane/refused.h"
#include "limpet/dataplane/session_rules.h"
#include "limpet/flow/shares.h"

namespace limpet::dataplane {

// One writer, many readers. add() is a plain load, add and store: no lock prefix.
class Counter {
 public:
  void add(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  // Gauges. Release: who reads that nothing is left may free what it counted.
  void sub(uint64_t n = 1) {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_release);
  }
  void set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t get() const { return value_.load(std::memory_order_acquire); }

 private:
  std::atomic<uint64_t> value_{0};
};

struct DropCounter {
  Counter packets;
  Counter bytes;
};

struct alignas(64) BackendCounters {  // per worker and backend slot
  Counter connections_active;         // gauge: flow records that name the slot
  Counter connections_total;
  Counter packets_in;   // client -> backend
  Counter packets_out;  // backend -> client
  Counter bytes_in;     // of whole frames
  Counter bytes_out;
  Counter connect_failures;  // the backend answered a SYN with RST, or not at all
  Counter redispatched;      // chosen although another backend was the client's first choice
};

struct alignas(64) ServiceCounters {  // per worker and service slot
  Counter connections_active;
  Counter connections_total;
  Counter packets_in;
  Counter packets_out;
  Counter bytes_in;
  Counter bytes_out;
  Counter no_backend;
  std::array<Counter, kRefusedCount> refused;           // by number, refused.h
  std::array<Counter, affinity::kReasonCount> reasons;  // of connections, by what chose a backend
  // Gauges: requests under way, by place of the rules that they were read by. Read by control,
  // which frees replaced rules by it.
  std::array<Counter, kRulesPlaces> rules_held;
};

// Per worker, service slot and entry of its persistence list (affinity/persistence.h has the
// meanings).
struct alignas(64) PersistenceCounters {
  std::array<Counter, affinity::kRequestFlagCount> request;    // of requests; cookies, headers
  std::array<Counter, affinity::kResponseFlagCount> response;  // of responses; cookie entries
  std::array<Counter, affinity::kInvalidDetailCount> detail;   // beside request flags I, E and O
  Counter decided;          // connections whose backend this entry chose
  Counter redispatched;     // connections that did not get the backend that this entry named
  Counter first_pin_races;  // parallel first connections that were told another's backend
  Counter other_backend_on_keepalive;  // later requests that name another one than they go to
};

struct alignas(64) WorkerCounters {
  // ends of frames
  Counter rx;
  Counter handed_in;
  Counter forwarded;
  Counter consumed;
  Counter handed_out;
  Counter punted;
  Counter held_packets;  // gauge
  Counter held_bytes;    // gauge
  // frames of our own making
  Counter tx;
  Counter originated;
  Counter tx_failed;
  Counter originated_lost;  // never reached a port: no buffer, no route, or no answer from the hop
  Counter originated_too_big;  // of these, larger than the MTU of the port it would have left by
  // rings
  Counter ring_out_dropped;  // frames for another worker that found its ring full
  Counter ring_in_dropped;   // neighbor updates for other workers that found their ring full
  // flows
  Counter flows_used;  // gauge
  Counter flows_created;
  Counter flows_expired;
  Counter flows_evicted;   // ended or half-open flows that made room in a full table
  Counter flows_gave_way;  // connections that ended as the table was short: their source had most
  Counter ports_used;      // gauge: source ports of the backend that has fewest left
  Counter ports_total;     // gauge: of how many
  Counter ports_gave_way;  // connections that ended as those of their backend were short
  Counter flows_reset;     // TCP flows of a dead backend whose client was told
  Counter port_early_reuse;
  Counter stale_answered;  // a backend answered our SYN from TIME_WAIT; reset there and sent again
  // Segments in mode nat that no receiver takes: passed on, and nothing here has moved.
  Counter outside_window;
  Counter flows_begun_anew;  // client and backend opened a new connection on a living flow's tuple
  Counter resets_sent;       // in answer to segments of no flow or service
  Counter splice_stateless_answers;  // SYN-ACKs, and what else is answered without a flow
  Counter splice_bad_heads;          // no request, or too long a one: answered by limpet
  Counter splice_slow_heads;         // not complete within limits.head_time
  Counter splice_redispatched;       // another backend was tried
  Counter splice_retried;            // the same one again, as the client is bound to it
  Counter splice_replaced;           // flows whose client had begun anew from the same port
  Counter splice_answers;            // responses of limpet's own
  Counter splice_bad_responses;      // not HTTP/1.x: passed on as they are, no more edits
  Counter splice_unasked_upgrades;   // a 101 that no request asked for: both ends were reset
  Counter splice_edits_lost;         // a cookie was not set, as the memory for edits was full
  Counter splice_no_memory;  // requests answered with 503, as there was none for their edits
  Counter rules_kept;        // answers edited by rules that a reload has replaced meanwhile
  // Requests whose rules were given up before their answer, or before their head was complete.
  Counter rules_outlived;
  // Connections that ended because a pool was short: their source had most of it.
  std::array<Counter, flow::kPools> gave_way;
  Counter neighbors_used;      // gauge: next hops in the cache
  Counter neighbors_total;     // constant
  Counter neighbors_replaced;  // next hops forgotten, as others needed their places
  Counter neighbors_refused;   // next hops for which there was no place
  // Of the splice (tcp/splice.h), copied there once a second.
  Counter splice_splits, splice_sack_translated, splice_sack_dropped, splice_clamped_acks;
  Counter splice_owned_bytes, splice_resent_bytes, splice_swallowed, splice_beyond_frontier;
  Counter splice_copied_bytes, splice_uncopied, splice_unlike;
  // Of clients that may be about to begin (tcp/handshake.h), the same.
  Counter half_open_used;      // gauge
  Counter half_open_total;     // constant: places for them
  Counter cookies_sent;        // SYN-ACKs to clients for whom there was no place
  Counter cookies_accepted;    // connections of such clients
  Counter sessions_used;       // gauge: connections with an HTTP message under way
  Counter session_bytes;       // of one, constant
  Counter edits_live;          // gauge: not acknowledged yet, of all connections
  Counter edit_bytes_used;     // gauge: of live edits
  Counter edit_bytes_total;    // constant
  Counter copy_bytes_used;     // gauge: of judged octets of requests that are not acknowledged yet
  Counter copy_bytes_total;    // constant
  Counter bindings_used;       // gauge: heads and backends that are waited for
  Counter bindings_total;      // constant
  Counter hold_bytes_used;     // gauge: of octets that are withheld
  Counter hold_bytes_total;    // constant
  Counter session_notes_lost;  // lines of the session log that found their ring full
  Counter icmp_sent;
  Counter icmp_translated;
  // loop
  Counter iterations;
  Counter empty_polls;
  Counter busy_cycles;
  Counter total_cycles;
  Counter snapshot;  // serial in use
  // MAC that claimed an address of ours last, as a number; 0: nobody ever did
  Counter conflict_mac;
};

// Of one port, counted by its device since its start: what the workers never saw is here only.
struct NicCounters {
  bool link_up = false;
  uint64_t rx_packets = 0;
  uint64_t rx_bytes = 0;
  uint64_t tx_packets = 0;
  uint64_t tx_bytes = 0;
  uint64_t missed = 0;     // came while the receive queues were full
  uint64_t rx_errors = 0;  // damaged on the wire
  uint64_t tx_errors = 0;
  uint64_t no_mbuf = 0;  // there was no buffer to receive into
};

// All of one worker, preallocated for every slot and port there can be.
struct WorkerStats {
  WorkerStats(size_t port_count, size_t backend_slots, size_t service_slots)
      : drops(port_count),
        backends(backend_slots),
        services(service_slots),
        persistence(service_slots) {}
  WorkerCounters worker;
  std::vector<std::array<DropCounter, kDropCount>> drops;  // by port
  std::vector<BackendCounters> backends;                   // by slot
  std::vector<ServiceCounters> services;                   // by slot
  std::vector<std::array<PersistenceCounters, affinity::kMaxEntries>> persistence;

  uint64_t drops_total() const {
    uint64_t sum = 0;
    for (const auto& port : drops)
      for (const DropCounter& d : port) sum += d.packets.get();
    return sum;
  }
};

}  // namespace limpet::dataplane
