// A spliced connection with the HTTP of the product between a client that may say anything, and the
// kernel of a backend: segments that are lost, that the backend's kernel discards, that say other
// octets than the ones before. What the editor judged is noted down as it judges it; what the
// backend has got is what its kernel put together: the first copy of an octet that it accepted.
// Shared by the fuzzer and by named tests; the oracle says whether both are the same.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "exchange.h"
#include "limpet/tcp/handshake.h"
#include "limpet/tcp/splice.h"
#include "oracle.h"

namespace limpet::oracle {

// How a service is set up: the first letters of what it does.
enum class Service : uint8_t {
  forwarded,         // X-Forwarded-For
  cookie,            // cookie SRV, inserted and indirect
  cookie_forwarded,  // both
  cookie_proxy,      // with PROXY (v1) in front
  learn_forwarded,   // cookie J, learned
  count_
};

// Memory of the worker, in octets: of what is held, and of copies.
struct Memory {
  size_t holds = size_t{1} << 20;
  size_t copies = size_t{1} << 18;
};

struct Said {
  int32_t later = 0;  // its TSval, in ticks of the client's clock from now: negative ones are old
  // What goes to the backend on account of it does not arrive: a link loses it, or its kernel or a
  // router discards it (a TCP option, a TTL that ends behind limpet).
  bool lost = false;
};

class SpliceRig : tcp::SpliceSink, tcp::SpliceEditor, tcp::HoldMemory {
 public:
  explicit SpliceRig(Service service, bool timestamps = true, const Memory& memory = {});
  ~SpliceRig() override;

  // Octets from `offset` of the client's stream on. The first ones begin the connection.
  void say(uint32_t offset, std::string_view octets, const Said& how = {});
  // As far as anything was said.
  uint32_t end() const { return end_; }
  // The octets of a range as they were said first; '.' for what was not.
  std::string said(uint32_t offset, uint32_t length) const;

  void connect();      // the backend accepts; it does so by itself when it is asked something else
  void acknowledge();  // it acknowledges what it has
  void answer(std::string_view octets);
  void pass(Duration time);

  // Honest repair: the client says again what the backend has not acknowledged, all arrives, the
  // backend acknowledges.
  void repair();
  // Whether the backend has all that was judged; true as well when the connection is over.
  bool arrived() const;
  // Empty: all is well. Call it last.
  std::string complaint();

  const std::string& got() const { return got_; }
  const std::string& judged() const { return judged_.octets; }
  bool over() const { return phase_ == Phase::over; }
  bool refused() const { return exchange_.refused != http::Refusal::none; }
  unsigned discarded() const { return discarded_; }  // segments, by the backend's clock

 private:
  enum class Phase : uint8_t { none, head, connecting, established, over };

  void emit(tcp::SpliceFlow& flow, tcp::Side to, const tcp::SegmentOut& s) override;
  tcp::Shown show(tcp::SpliceFlow& flow, tcp::Side from, std::span<const uint8_t> bytes,
                  bool fin) override;
  void not_kept(tcp::SpliceFlow&, tcp::Side from) override { exchange_.not_kept(from); }
  std::span<uint8_t> take(uint32_t size) override;
  void give(std::span<uint8_t> memory) override;
  uint32_t take_binding(tcp::SpliceFlow& flow) override;
  void give_binding(uint32_t binding) override;
  tcp::SpliceBinding& binding(uint32_t) override { return binding_; }
  void due(uint32_t, Instant) override {}

  dataplane::ExchangeContext context();
  void open(const tcp::SegmentIn& first);
  void follow_up();
  void from_client(const tcp::SegmentIn& in);
  void from_backend(std::span<const uint8_t> octets);
  Promises promises() const;
  uint32_t due() const;  // octets of the client's stream that must arrive
  tcp::SegmentIn blank(tcp::Side from, int32_t later);
  // The backend's kernel.
  void arrive(tcp::Seq seq, std::span<const uint8_t> octets, std::optional<uint32_t> tsval);
  void note_bounds();

  const Service service_;
  const bool timestamps_;
  dataplane::HttpRules& rules_;
  tcp::EditPool edits_{65536};
  tcp::CopyPool copies_;
  tcp::Splice splice_{edits_, copies_, *this, *this, *this};
  tcp::Listener listener_;
  tcp::SynAckOptions syn_ack_;
  tcp::SpliceFlow flow_;
  tcp::SpliceBinding binding_;
  bool work_used_ = false;
  struct Taken {
    std::unique_ptr<uint8_t[]> octets;
    size_t size = 0;
  };
  std::vector<Taken> memory_;
  size_t memory_left_;
  dataplane::Exchange exchange_;

  // The pool, as a worker has it.
  const affinity::BackendIds ids_{{"s0", "s1", "s2"}};
  const std::vector<uint16_t> members_{0, 1, 2};
  std::vector<dataplane::BackendEntry> backends_;
  std::vector<balance::BackendStatus> status_ = std::vector<balance::BackendStatus>(3);
  std::vector<dataplane::PersistenceCounters> counters_;
  dataplane::WorkerCounters worker_;
  dataplane::ServiceCounters service_counters_;
  std::unique_ptr<affinity::StickTable> table_;
  uint16_t member_ = balance::Maglev::kNone;

  Phase phase_ = Phase::none;
  Instant now_{1'000'000'000'000};
  uint32_t clock_[2] = {100000, 0xffffff00u};  // [side]
  uint32_t heard_[2] = {0, 0};                 // newest timestamp that each side has been told
  tcp::Seq start_[2];                          // [side] number of its first octet, as it sends it
  tcp::Seq client_next_;                       // of the answers, as the client sees them
  uint32_t end_ = 0;
  std::map<uint32_t, char> first_;  // octets as they were said first
  uint32_t answered_ = 0;           // octets of answers
  size_t answers_ = 0;
  bool lost_ = false;

  std::string got_;
  std::map<uint32_t, char> beyond_;  // a gap
  uint32_t ts_recent_ = 0;
  uint32_t last_ack_ = 0;  // octets of the edited stream
  unsigned discarded_ = 0;

  Judged judged_;
  bool open_ = false;  // the stream is not judged any more
  std::optional<size_t> switches_;
  std::string wrong_;
};

}  // namespace limpet::oracle
