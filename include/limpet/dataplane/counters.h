// Counters of one worker. Plain: the worker is the only writer, on cache lines of its own; the
// control thread reads them at any time and sums over the workers.
//
// Two identities hold whenever no burst is under way (design: nothing is lost), summed or alone:
//   rx + handed_in = forwarded + consumed + handed_out + punted + sum(drops) + held.packets
//   tx = forwarded + originated - tx_failed
// and over all workers handed_out = handed_in + rings.out_dropped.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

#include "limpet/affinity/choose.h"
#include "limpet/affinity/persistence.h"
#include "limpet/affinity/reason.h"
#include "limpet/base/drop.h"
#include "limpet/base/time.h"
#include "limpet/dataplane/http_rules.h"
#include "limpet/dataplane/refused.h"
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

// What a counter is to whoever reads it: `total` only grows; `gauge` is how it stands now.
enum class CounterKind : uint8_t { total, gauge };

// A counter is spelled here and where it is counted. Its member, its place in `show`, its baseline
// (publish/baselines.h) and its metric are made of these lists:
//   X(kind, member, name in JSON, one line for people)
// A name in JSON ends as users know it; "" stands where a view puts several counters together, and
// a worker's metric is named by the member.
// clang-format off
#define LIMPET_BACKEND_COUNTERS(X) \
  X(gauge, connections_active, "connections_active", "Connections that are open") \
  X(total, connections_total, "connections_total", "Connections that were given to the backend") \
  X(total, packets_in, "packets_in", "Packets from clients to the backend") \
  X(total, packets_out, "packets_out", "Packets from the backend to clients") \
  X(total, bytes_in, "bytes_in", "Bytes of whole frames from clients to the backend") \
  X(total, bytes_out, "bytes_out", "Bytes of whole frames from the backend to clients") \
  X(total, connect_failures, "connect_failures", "SYNs that the backend refused or did not answer") \
  X(total, redispatched, "redispatched_total", "Connections of clients whose first choice was another backend")

#define LIMPET_SERVICE_COUNTERS(X) \
  X(gauge, connections_active, "connections_active", "Connections that are open") \
  X(total, connections_total, "connections_total", "Connections that clients have opened") \
  X(total, packets_in, "packets_in", "Packets from clients") \
  X(total, packets_out, "packets_out", "Packets to clients") \
  X(total, bytes_in, "bytes_in", "Bytes of whole frames from clients") \
  X(total, bytes_out, "bytes_out", "Bytes of whole frames to clients") \
  X(total, no_backend, "no_backend_total", "Connections for which there was no usable backend")

#define LIMPET_PERSISTENCE_COUNTERS(X) \
  X(total, decided, "decided", "Connections whose backend this entry chose") \
  X(total, redispatched, "redispatched", "Connections that did not get the backend that this entry named") \
  X(total, first_pin_races, "first_pin_races", "Parallel first connections that were told another one's backend") \
  X(total, other_backend_on_keepalive, "other_backend_on_keepalive", "Later requests that name another backend than they go to") \
  X(total, kept, "", "Requests that go where this entry's key names") \
  X(total, moved_down, "", "Requests whose key names a backend that may not be used; of headers also one that did not take it")

#define LIMPET_WORKER_COUNTERS(X) \
  /* ends of frames */ \
  X(total, rx, "rx", "Frames received") \
  X(total, handed_in, "handed_in", "Frames from other workers") \
  X(total, forwarded, "forwarded", "Frames passed on") \
  X(total, consumed, "consumed", "Frames that limpet answered or used up itself") \
  X(total, handed_out, "handed_out", "Frames for other workers") \
  X(total, punted, "punted", "Frames left to the kernel, which shares the port") \
  X(gauge, held_packets, "", "Packets that wait for a MAC address") \
  X(gauge, held_bytes, "", "Bytes of packets that wait for a MAC address") \
  /* frames of our own making */ \
  X(total, tx, "tx", "Frames handed to a port") \
  X(total, originated, "originated", "Frames that limpet made") \
  X(total, tx_failed, "tx_failed", "Frames that a port did not take") \
  X(total, originated_lost, "originated_lost", "Frames of our own that never reached a port: no buffer, no route, or no answer from the hop") \
  X(total, originated_too_big, "originated_too_big", "Of these, larger than the MTU of the port they would have left by") \
  /* rings */ \
  X(total, ring_out_dropped, "", "Frames for another worker that found its ring full") \
  X(total, ring_in_dropped, "", "Neighbor updates for other workers that found their ring full") \
  /* flows */ \
  X(gauge, flows_used, "", "Flow records in use") \
  X(total, flows_created, "flows_created", "Flows that began") \
  X(total, flows_expired, "flows_expired", "Flows that ended by silence") \
  X(total, flows_evicted, "flows_evicted", "Ended or half-open flows that made room in a full table") \
  X(total, flows_gave_way, "flows_gave_way", "Connections that ended as the table was short: their source had most") \
  X(gauge, ports_used, "", "Source ports in use of the backend that has fewest left") \
  X(gauge, ports_total, "", "Source ports of that backend") \
  X(total, ports_gave_way, "", "Connections that ended as the ports of their backend were short") \
  X(total, flows_reset, "flows_reset", "TCP flows of a dead backend whose client was told") \
  X(total, port_early_reuse, "port_early_reuse", "Source ports that were used again before they had rested") \
  X(total, stale_answered, "stale_answered", "SYNs that a backend answered from TIME_WAIT: reset there and sent again") \
  X(total, outside_window, "outside_window", "Segments in mode nat that no receiver takes: passed on, and nothing here has moved") \
  X(total, flows_begun_anew, "flows_begun_anew", "New connections of client and backend on the tuple of a living flow") \
  X(total, resets_sent, "resets_sent", "Resets in answer to segments of no flow or service") \
  X(total, splice_stateless_answers, "splice_stateless_answers", "SYN-ACKs, and what else is answered without a flow") \
  X(total, splice_bad_heads, "splice_bad_heads", "First requests that were none, or too long: answered by limpet") \
  X(total, splice_slow_heads, "splice_slow_heads", "First requests that were not complete within limits.head_time") \
  X(total, splice_redispatched, "splice_redispatched", "Connections for which another backend was tried") \
  X(total, splice_retried, "splice_retried", "Tries of the same backend again, as the client is bound to it") \
  X(total, splice_replaced, "splice_replaced", "Flows whose client had begun anew from the same port") \
  X(total, splice_answers, "splice_answers", "Responses of limpet's own") \
  X(total, splice_bad_responses, "splice_bad_responses", "Responses that are not HTTP/1.x: passed on as they are, without edits") \
  X(total, splice_unasked_upgrades, "splice_unasked_upgrades", "101 responses that no request asked for: both ends were reset") \
  X(total, splice_edits_lost, "splice_edits_lost", "Cookies that were not set, as the memory for edits was full") \
  X(total, splice_no_memory, "splice_no_memory", "Requests answered with 503, as there was no memory for their edits") \
  X(total, rules_kept, "rules_kept", "Answers edited by rules that a reload has replaced meanwhile") \
  X(total, rules_outlived, "rules_outlived", "Requests whose rules were given up before their answer, or before their head was complete") \
  /* next hops */ \
  X(gauge, neighbors_used, "", "Next hops in the cache") \
  X(gauge, neighbors_total, "", "Places for next hops") \
  X(total, neighbors_replaced, "", "Next hops forgotten, as others needed their places") \
  X(total, neighbors_refused, "", "Next hops for which there was no place") \
  /* of the splice (tcp/splice.h), copied there once a second */ \
  X(total, splice_splits, "splice_splits", "Segments cut in several") \
  X(total, splice_sack_translated, "splice_sack_translated", "SACK blocks passed on in the other end's numbers") \
  X(total, splice_sack_dropped, "splice_sack_dropped", "SACK blocks that mean nothing to the other end") \
  X(total, splice_clamped_acks, "splice_clamped_acks", "ACKs held back to what limpet has promised") \
  X(total, splice_owned_bytes, "splice_owned_bytes", "Octets that limpet has acknowledged itself") \
  X(total, splice_resent_bytes, "splice_resent_bytes", "Octets that limpet has sent again") \
  X(total, splice_swallowed, "splice_swallowed", "Octets taken out of streams by edits") \
  X(total, splice_beyond_frontier, "splice_beyond_frontier", "Segments not taken, to come again") \
  X(total, splice_copied_bytes, "splice_copied_bytes", "Judged octets of requests that were copied") \
  X(total, splice_uncopied, "splice_uncopied", "Segments for whose judged octets there was no room") \
  X(total, splice_unlike, "splice_unlike", "Segments that said other octets than were judged") \
  /* of clients that may be about to begin (tcp/handshake.h), the same */ \
  X(gauge, half_open_used, "", "Clients between their SYN and their first octets") \
  X(gauge, half_open_total, "", "Places for clients between their SYN and their first octets") \
  X(total, cookies_sent, "cookies_sent", "SYN cookies, sent to clients for whom there was no place") \
  X(total, cookies_accepted, "cookies_accepted", "Connections of such clients") \
  X(gauge, sessions_used, "", "Connections with an HTTP message under way") \
  X(gauge, session_bytes, "", "Bytes that one of these takes, constant") \
  X(gauge, edits_live, "", "Edits that are not acknowledged yet, of all connections") \
  X(gauge, edit_bytes_used, "", "Bytes of live edits") \
  X(gauge, edit_bytes_total, "", "Bytes that there are for edits") \
  X(gauge, copy_bytes_used, "", "Judged octets of requests that are not acknowledged yet") \
  X(gauge, copy_bytes_total, "", "Bytes that there are for such octets") \
  X(gauge, bindings_used, "", "Heads and backends that are waited for") \
  X(gauge, bindings_total, "", "Places for heads and backends that are waited for") \
  X(gauge, hold_bytes_used, "", "Octets that are withheld") \
  X(gauge, hold_bytes_total, "", "Bytes that there are for octets that are withheld") \
  X(gauge, transactions_used, "", "Requests that will have lines in the log") \
  X(gauge, transactions_total, "", "Places for requests that will have lines in the log") \
  X(total, log_lost, "log_lost", "Lines of the request log that found their ring full") \
  X(total, log_untold, "log_untold", "Requests for whose line in the log there was no memory") \
  X(total, session_notes_lost, "session_notes_lost", "Lines of the session log that found their ring full") \
  X(total, icmp_sent, "icmp_sent", "ICMP errors of our own") \
  X(total, icmp_translated, "icmp_translated", "ICMP errors passed on to the other end") \
  /* loop */ \
  X(total, iterations, "iterations", "Turns of the worker's loop") \
  X(total, empty_polls, "empty_polls", "Turns that found nothing to do") \
  X(total, busy_cycles, "busy_cycles", "TSC cycles in turns that found something") \
  X(total, total_cycles, "total_cycles", "TSC cycles in all") \
  X(gauge, snapshot, "snapshot", "Serial of the configuration in use")
// clang-format on

#define LIMPET_COUNTER_MEMBER(kind, member, json, help) Counter member;
struct alignas(64) BackendCounters {  // per worker and backend slot
  LIMPET_BACKEND_COUNTERS(LIMPET_COUNTER_MEMBER)
};

// How long something took: how often no longer than each of kBounds, but longer than the one
// before; last, how often longer than all. Prometheus' buckets, which are sums, are made by who
// reads them.
struct Histogram {
  static constexpr std::array<uint32_t, 15> kBoundsUs = {
      100,    250,     500,     1'000,   2'500,     5'000,     10'000,    25'000,
      50'000, 100'000, 250'000, 500'000, 1'000'000, 2'500'000, 10'000'000};
  std::array<Counter, kBoundsUs.size() + 1> buckets;
  Counter sum_us;

  void add(Duration took) {
    const auto us = static_cast<uint64_t>(std::max<int64_t>(took.count(), 0)) / 1000;
    size_t i = 0;
    while (i != kBoundsUs.size() && us > kBoundsUs[i]) ++i;
    buckets[i].add();
    sum_us.add(us);
  }
};

// Per worker and backend slot, of mode splice; beside BackendCounters, which every packet touches.
struct alignas(64) BackendTimes {
  Histogram connect;     // from the first SYN of a try to its SYN-ACK
  Histogram first_byte;  // from a complete request head to the first octet of its response's head
  std::array<Counter, 5> responses;  // final ones, and 101, by class: 1xx to 5xx; others: 5xx
};

struct alignas(64) ServiceCounters {  // per worker and service slot
  LIMPET_SERVICE_COUNTERS(LIMPET_COUNTER_MEMBER)
  std::array<Counter, kRefusedCount> refused;           // by number, refused.h
  std::array<Counter, affinity::kReasonCount> reasons;  // of connections, by what chose a backend
  // Gauges: requests under way, by place of the rules that they were read by. Read by control,
  // which frees replaced rules by it.
  std::array<Counter, kRulesPlaces> rules_in_use;
};

// Per worker, service slot and entry of its persistence list (affinity/persistence.h has the
// meanings).
struct alignas(64) PersistenceCounters {
  std::array<Counter, affinity::kRequestFlagCount> request;    // of requests; cookies, headers
  std::array<Counter, affinity::kResponseFlagCount> response;  // of responses; cookie entries
  std::array<Counter, affinity::kInvalidDetailCount> detail;   // beside request flags I, E and O
  LIMPET_PERSISTENCE_COUNTERS(LIMPET_COUNTER_MEMBER)
};

struct alignas(64) WorkerCounters {
  LIMPET_WORKER_COUNTERS(LIMPET_COUNTER_MEMBER)
  // Connections that ended because a pool was short: their source had most of it.
  std::array<Counter, flow::kPools> gave_way;
  // MAC that claimed an address of ours last, as a number; 0: nobody ever did
  Counter conflict_mac;
};
#undef LIMPET_COUNTER_MEMBER

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
        times(backend_slots),
        services(service_slots),
        persistence(service_slots) {}
  WorkerCounters worker;
  std::vector<std::array<DropCounter, kDropCount>> drops;  // by port
  std::vector<BackendCounters> backends;                   // by slot
  std::vector<BackendTimes> times;                         // by slot
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
