// The HTTP of one spliced connection: where its messages begin and end, what its requests' cookies
// say, and which edits its two streams get. Pure: octets in, edits and decisions out; the splice
// shows it the streams (tcp/splice.h, SpliceEditor), the worker keeps one per transaction.
//
// A connection that is idle between two requests needs no Exchange, so what a connection costs for
// its whole life stays small. Requests are followed to the end of the connection (a later request
// must not slip a header or a cookie past us); responses until one cannot be, or none can follow.
//
// A request holds the rules by which it is read: from the first octet of its head until the head of
// its answer is edited. So a reload in between changes neither what is judged nor what is set.
//
//   requests:  head -> body -> head ...      responses: head -> body -> head ...
//                 |      |-> ask: an upgrade or CONNECT; its response says what follows
//                 `------`-> refused, when the responses to those before it are through
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

#include "limpet/affinity/choose.h"
#include "limpet/affinity/learn.h"
#include "limpet/balance/backend_state.h"
#include "limpet/base/address.h"
#include "limpet/base/endian.h"
#include "limpet/dataplane/counters.h"
#include "limpet/dataplane/http_rules.h"
#include "limpet/dataplane/log_record.h"
#include "limpet/dataplane/snapshot.h"
#include "limpet/http/request.h"
#include "limpet/http/response.h"
#include "limpet/tcp/edit_pool.h"
#include "limpet/tcp/splice.h"
#include "limpet/tcp/stream_map.h"
#include "mapped.h"

namespace limpet::dataplane {

constexpr uint32_t kNoExchange = tcp::kNoBinding;

// A request that will have a line in the log (transactions.h).
using TransactionId = uint32_t;
constexpr TransactionId kNoTransaction = 0xffffffffu;

// Hears of the requests of a connection and of their responses, as they are read. Positions are
// numbers of who sends. kNoTransaction: nobody asks.
class RequestObserver {
 public:
  virtual TransactionId begins(tcp::Seq first) = 0;  // a head, with its first octet
  virtual void asked(TransactionId id, std::string_view method, std::string_view target) = 0;
  virtual void request_ends(TransactionId id, tcp::Seq end) = 0;
  virtual void answered(TransactionId id, uint16_t status, tcp::Seq first, Instant first_octet) = 0;
  virtual void response_ends(TransactionId id, tcp::Seq end) = 0;
  virtual void tunnels(TransactionId id) = 0;  // both streams belong to it from now on
  virtual void blame(TransactionId id, Ending ending) = 0;

 protected:
  ~RequestObserver() = default;
};

// What a response needs to know of its request.
struct Asked {
  // By cookie rule of mode learn: the hash of the value that came with it, 0 when the table knew
  // none. What a response deletes is what its own request brought.
  std::array<uint64_t, kMaxCookieRules> learned{};
  // By cookie rule. `member` is a backend slot here: pools change between request and response.
  std::array<affinity::RequestDecision, kMaxCookieRules> cookies;
  Instant at;          // its head was complete
  uint32_t rules = 0;  // the number of those that it holds; 0: none
  TransactionId transaction = kNoTransaction;
  http::Method method = http::Method::get;
  bool asks = false;  // upgrade or CONNECT
  bool upgrade = false;
};
static_assert(sizeof(Asked) == 120);

struct Exchange {
  static constexpr size_t kMaxAsked = 8;  // requests whose responses have not come
  // Of a response, and of a request, whose own limit is not above it (config::kMaxHeadBytes).
  static constexpr uint32_t kMaxHead = 16384;
  static_assert(kMaxHead <= tcp::Splice::kPartialHold, "or it waits for octets that do not fit");

  enum class Up : uint8_t { head, body, ask, refused, tunnel };
  // open: the backend closes behind it, or it is a tunnel; lost: nobody can say where it ends, so
  // the connection does when another request comes.
  enum class Down : uint8_t { head, body, open, lost };

  http::RequestFramer request;
  http::ResponseFramer response{http::Method::get};
  http::BodySkipper request_body;
  http::BodySkipper response_body;
  uint32_t reading = 0;  // the number of the rules that the head holds which has begun; 0: none
  std::array<Asked, kMaxAsked> asked;
  uint8_t asked_first = 0, asked_count = 0;
  Up up = Up::head;
  Down down = Down::head;
  http::Refusal refused = http::Refusal::none;
  bool asks = false;          // the request whose body is passing
  uint8_t refused_asked = 0;  // of the refused one: 1 when its head has passed
  // How far the first request has got.
  enum class First : uint8_t {
    head,   // its head is not complete
    asked,  // it is
    whole,  // and it has no body
    answered
  };
  First first = First::head;
  // What requests are held back for.
  enum class Pause : uint8_t {
    none,
    response,  // of one before them
    reader     // the client has not acknowledged enough of the responses that it has
  };
  Pause pause = Pause::none;
  bool call_up = false;  // it is over: Splice::again() for the client's stream, then cleared
  bool broken = false;   // what the client says must not pass: the connection ends
  // Whose doing that is; only the client is told by a 400.
  enum class Blame : uint8_t { client, backend, memory };
  Blame blame = Blame::client;
  TransactionId asking = kNoTransaction;     // of the request whose head or body is passing
  TransactionId answering = kNoTransaction;  // of the response whose body is passing
  bool announced = false;                    // the observer has heard of the head, or will not
  Instant response_at;                       // the first octet of the response head that is read
  bool counted = false;  // that it is turned away; without buffers it is tried again
  // Of the first request, by cookie rule of mode learn: what moves when its backend is gone.
  std::array<affinity::LearnedRequest, kMaxCookieRules> learned;
  // Of the first request, by header rule: affinity::hash_key(), and none where it had no value.
  std::array<uint64_t, kMaxHeaderRules> keys{};
  std::array<affinity::RequestFlag, kMaxHeaderRules> key_flags{};
  // Of the worker's pool.
  uint32_t next_free = kNoExchange;

  // Half a head was read and not kept: it is read anew when it comes again.
  void not_kept(tcp::Side from) {
    if (from == tcp::Side::client)
      request = {};
    else
      response = http::ResponseFramer(http::Method::get);  // of which one is known when it begins
  }
  // The observer's requests are over, whatever is still to come.
  void forget_transactions() {
    asking = answering = kNoTransaction;
    for (Asked& a : asked) a.transaction = kNoTransaction;
    announced = true;
  }
  bool begun() const { return first != First::head; }
  bool first_answered() const { return first == First::answered; }
  void break_off(Blame whose) {
    broken = true;
    blame = whose;
  }
  const Asked& front() const { return asked[asked_first]; }
  // Nothing of a message is under way in either direction.
  bool idle() const {
    return begun() && asked_count == 0 && up == Up::head && request.position() == 0 &&
           down == Down::head && response.position() == 0 && !broken && !call_up &&
           pause != Pause::reader;
  }
};
static_assert(std::is_trivially_copyable_v<Exchange>);

// The rules of one request.
struct RulesInUse {
  const HttpRules* rules = nullptr;
  affinity::StickTable* table = nullptr;  // as their list sees it
  const KeptRules* kept = nullptr;        // a reload has replaced them
  bool known = true;  // false: they were given up, these are the service's of today

  // Whether an entry of their list is one of today's, where what it did is counted.
  bool counts(uint8_t entry) const { return kept == nullptr || (kept->counted >> entry & 1) != 0; }
};

// Everything around one look at a stream.
struct ExchangeContext {
  const HttpRules& rules;                          // of the service today: for heads that begin now
  const affinity::BackendIds& ids;                 // of the service's pool
  uint16_t pool = kNoSlot;                         // its index; kNoSlot: there is none any more
  std::span<const uint16_t> members;               // likewise: backend slots
  std::span<const BackendEntry> backends;          // by backend slot
  std::span<const balance::BackendStatus> status;  // by backend slot
  ExchangeTools* tools = nullptr;
  affinity::StickTable* table = nullptr;
  std::span<PersistenceCounters> counters;  // by entry of the list
  WorkerCounters& worker;
  ServiceCounters& service;
  tcp::EditPool& edits;
  IpAddress client, vip;
  be16 client_port{}, vip_port{};
  uint16_t member = balance::Maglev::kNone;  // who answers; kNone: not decided, or not of the pool
  Instant now;
  uint64_t unix_now = 0;  // seconds
  // Told the stick entry that the connection goes by from now on; null: nobody asks.
  affinity::StickHandle* goes_by = nullptr;
  std::span<const KeptRules> kept = {};  // of the service
  // Where keys of headers lead in the service's pool, and its seed (affinity::hash_header()); null:
  // there is none any more.
  const balance::Maglev* maglev = nullptr;
  uint64_t seed = 0;
  const tcp::StreamMap* down = nullptr;  // of the backend's stream; null: nobody counts its edits
  RequestObserver* observer = nullptr;   // of services whose requests are logged
  BackendTimes* times = nullptr;         // of who answers; null: nobody does

  RulesInUse by(uint32_t number) const;  // of an Asked or an Exchange
  // Where a backend slot stands in the pool now; kNone: nowhere. Of one that has left the pool: who
  // has its name there, as that is whom its cookies and sessions name.
  uint16_t member_of(uint16_t slot) const;
};

// Edits of answers that a client need not acknowledge. Each of its segments walks through them, so
// a client that acknowledges none would make them ever dearer; an honest one has as many answers
// under way as it has asked for at once.
constexpr unsigned kMostUnread = 64;
// Edits of a stream that are not acknowledged; no more than kMostUnread are counted.
unsigned unread(const tcp::StreamMap& down, const tcp::EditPool& edits);

// Lets go of all rules that it holds; what is still to come is edited by none.
void let_go(Exchange& s, ServiceCounters& service);

// Of one worker: as many as it has flows, in memory that is touched as they are used.
class ExchangePool {
 public:
  explicit ExchangePool(uint32_t count) : exchanges_(count), count_(count) {}

  uint32_t take() {  // never kNoExchange when there is one for each flow
    uint32_t i = free_;
    if (i != kNoExchange) {
      free_ = exchanges_[i].next_free;
    } else {
      if (fresh_ == count_) return kNoExchange;
      i = fresh_++;
    }
    exchanges_[i] = Exchange{};
    ++used_;
    return i;
  }
  void give(uint32_t i) {
    exchanges_[i].next_free = free_;
    free_ = i;
    --used_;
  }
  Exchange& at(uint32_t i) { return exchanges_[i]; }
  uint32_t used() const { return used_; }

 private:
  Mapped<Exchange> exchanges_;
  uint32_t count_, fresh_ = 0, free_ = kNoExchange, used_ = 0;
};

// As SpliceEditor::show().
tcp::Shown show_requests(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                         const ExchangeContext& c);
tcp::Shown show_responses(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes,
                          bool fin, const ExchangeContext& c);

// The first request's cookies, for affinity::choose(). A backend that is in `tried` is not named
// any more. Returns how many there are.
size_t outcomes(const Exchange& s, const ExchangeContext& c, std::span<const uint16_t> tried,
                std::span<affinity::CookieOutcome, kMaxCookieRules> out);
// Its headers' keys, likewise; absent where it had no value.
size_t keys(const Exchange& s, const ExchangeContext& c,
            std::span<std::optional<uint64_t>, kMaxHeaderRules> out);
// What a header of it did, now that `member` serves it: valid where that is the one its key names.
affinity::RequestFlag flag_of_key(const Exchange& s, const ExchangeContext& c, size_t header,
                                  uint16_t member);
// A backend stands (or none could be found: kNone): counts what the first request's cookies said.
void count_first(const Exchange& s, const ExchangeContext& c, uint16_t member);

}  // namespace limpet::dataplane
