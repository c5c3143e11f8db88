// Requests and responses in order, whatever pieces they come in.
#include "exchange.h"

#include <algorithm>

#include "exchange_edits.h"

namespace limpet::dataplane {
namespace {

using http::Body;
using http::Fed;
using tcp::Shown;

// Of who was read by none: a service that has left mode splice.
const HttpRules kNobodys;

void let_go(uint32_t& rules, ServiceCounters& service) {
  if (rules != 0) service.rules_in_use[place_of(rules)].sub();
  rules = 0;
}

// Those that the head is read by which stands in front: today's, if it begins now.
RulesInUse read_by(Exchange& s, const ExchangeContext& c) {
  if (s.reading != 0) {
    if (const RulesInUse by = c.by(s.reading); by.known) return by;
    c.worker.rules_outlived.add();
    let_go(s.reading, c.service);
  }
  s.reading = c.rules.number;
  if (s.reading != 0) c.service.rules_in_use[place_of(s.reading)].add();
  return c.by(s.reading);
}

void let_go_of_asked(Exchange& s, ServiceCounters& service) {
  for (unsigned i = 0; i < s.asked_count; ++i)
    let_go(s.asked[(s.asked_first + i) % Exchange::kMaxAsked].rules, service);
}

void forget_asked(Exchange& s, ServiceCounters& service) {
  let_go_of_asked(s, service);
  s.asked_count = 0;
}

// A body of known length passes without being shown; the next look is this far away at most.
constexpr uint64_t kBlind = 1u << 29;

// Skips what belongs to the body. True when it has ended within `bytes`, or with octets that need
// not be shown, which are part of `done` then. Its data are told to `bodies`.
bool skip(http::BodySkipper& body, std::span<const uint8_t> bytes, uint32_t& done,
          tcp::Bodies* bodies = nullptr) {
  if (bodies == nullptr) {
    done += static_cast<uint32_t>(body.skip(bytes.subspan(done)));
  } else {
    while (done != bytes.size() && !body.finished() && !body.failed()) {
      const auto n = static_cast<uint32_t>(std::min<uint64_t>(body.blind(), bytes.size() - done));
      if (n != 0) {
        bodies->add(done, done + n);
        body.skip_blind(n);
        done += n;
      }
      done += static_cast<uint32_t>(body.skip_framing(bytes.subspan(done)));
    }
  }
  if (body.finished() || body.failed() || done != bytes.size()) return body.finished();
  if (const uint64_t n = std::min(body.blind(), kBlind); n != 0) {
    body.skip_blind(n);
    done += static_cast<uint32_t>(n);
  }
  return body.finished();
}

Shown all(std::span<const uint8_t> bytes) {
  return {static_cast<uint32_t>(bytes.size()), true};
}

constexpr bool is_line_end(uint8_t c) {
  return c == '\r' || c == '\n';
}

// Which clients send behind a body that needs none (RFC 9112, 2.2).
bool only_empty_lines(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), is_line_end);
}

// What requests waited for has come, or never will.
void resume(Exchange& s) {
  s.call_up = s.call_up || s.pause != Exchange::Pause::none;
  s.pause = Exchange::Pause::none;
}

// Responses cannot be told apart any more, or none will follow: they pass as they are.
Shown give_up(Exchange& s, const ExchangeContext& c, std::span<const uint8_t> bytes,
              Exchange::Down down) {
  s.down = down;
  forget_asked(s, c.service);
  // What an upgrade led to is not known either. Nothing may pass that would have been edited.
  if (s.up == Exchange::Up::ask) s.up = Exchange::Up::head;
  resume(s);
  return all(bytes);
}

// A later request that must not pass. `asked`: of its own, when its head has passed.
template <class Reason>
void refuse(Exchange& s, const ExchangeContext& c, Reason why, uint8_t asked) {
  if (c.observer != nullptr)
    c.observer->blame(s.asking,
                      s.blame == Exchange::Blame::memory ? Ending::no_memory : Ending::refused);
  if (s.blame != Exchange::Blame::memory)
    c.service.refused[refused(why)].add();  // a lack of memory is our own fault
  s.up = Exchange::Up::refused;
  s.refused_asked = asked;
}

// It is turned away when the responses to those before it are through: whether they are served
// must not depend on the segments in which the client's octets came.
bool responses_due(const Exchange& s) {
  switch (s.down) {
    case Exchange::Down::head:
      return s.asked_count > s.refused_asked || s.response.position() != 0;
    case Exchange::Down::body:
    case Exchange::Down::open:  // until the backend closes
      return true;
    case Exchange::Down::lost:
      break;
  }
  return false;
}

// A final response, or 101, whose head is complete.
void count_response(const Exchange& s, BackendTimes& times, const http::ResponseHead& head) {
  if (head.is_interim()) return;
  const size_t hundreds = head.status / 100u;
  times.responses[std::clamp<size_t>(hundreds, 1, times.responses.size()) - 1].add();
  if (s.front().at.ns != 0) times.first_byte.add(s.response_at - s.front().at);
}

void answered(Exchange& s, const ExchangeContext& c) {
  let_go(s.asked[s.asked_first].rules, c.service);
  s.asked_first = static_cast<uint8_t>((s.asked_first + 1u) % Exchange::kMaxAsked);
  --s.asked_count;
  resume(s);
}

Shown follow_requests(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                      const ExchangeContext& c, tcp::Bodies& bodies) {
  uint32_t done = 0;
  while (!s.broken) {
    switch (s.up) {
      case Exchange::Up::body:
        if (!skip(s.request_body, bytes, done, &bodies)) {
          if (!s.request_body.failed()) return {done, fin};
          // What follows cannot be found: nothing that looks like a request may pass unseen.
          refuse(s, c, s.request_body.fault(), 1);
          break;
        }
        // Where no response is read any more nobody will hear what became of an upgrade. What
        // follows counts as a request then: if it is none it is refused, and if it is one nothing
        // of it slips past.
        s.up = s.asks && s.asked_count != 0 ? Exchange::Up::ask : Exchange::Up::head;
        s.request = {};
        if (c.observer != nullptr) c.observer->request_ends(s.asking, map.frontier() + done);
        s.asking = kNoTransaction;
        s.announced = false;
        break;
      case Exchange::Up::ask:
        s.pause = Exchange::Pause::response;
        return {done, fin && done >= bytes.size()};
      case Exchange::Up::refused:
        if (responses_due(s)) {
          s.pause = Exchange::Pause::response;
          return {done, false};
        }
        s.broken = true;
        break;
      case Exchange::Up::tunnel:
        return all(bytes);
      case Exchange::Up::head: {
        if (done >= bytes.size()) return {done, fin};
        if (s.asked_count == Exchange::kMaxAsked) {
          s.pause = Exchange::Pause::response;
          return {done, false};
        }
        if (c.down != nullptr && unread(*c.down, c.edits) >= kMostUnread) {
          s.pause = Exchange::Pause::reader;
          return {done, false};
        }
        const std::span<const uint8_t> rest = bytes.subspan(done);
        // Its response would pass unread, without its cookies: on another connection it does not.
        if (s.down == Exchange::Down::lost && !only_empty_lines(rest)) {
          c.service.refused[refused(Refused::response_unread)].add();
          s.break_off(Exchange::Blame::backend);
          break;
        }
        // What was not kept comes again, perhaps in smaller pieces.
        if (rest.size() < s.request.position()) s.request = {};
        const RulesInUse by = read_by(s, c);
        if (c.observer != nullptr && !s.announced && by.rules->settings.logged &&
            !only_empty_lines(rest)) {
          s.announced = true;
          s.asking = c.observer->begins(map.frontier() + done);
        }
        http::RequestHead head;
        const Fed fed = s.request.feed(rest, head);
        if (fed == Fed::need_more) {
          // Behind the first one there is a backend, and some take the end of the stream for the
          // end of the head. (The first one is refused by who collects it.)
          if (fin && (!s.begun() || only_empty_lines(rest))) return all(bytes);
          // The first one's length is the business of who collects it.
          const uint32_t most = std::min(by.rules->settings.head_bytes, Exchange::kMaxHead);
          if (!s.begun() || (!fin && rest.size() < most)) return {done, false};
          refuse(s, c, fin ? Refused::head_unfinished : Refused::head_too_long, 0);
          break;
        }
        if (fed == Fed::refused) {
          if (s.begun()) {
            s.refused = s.request.refusal();
            refuse(s, c, s.refused, 0);
            break;
          }
          if (s.refused == http::Refusal::none)
            c.service.refused[refused(s.request.refusal())].add();
          s.refused = s.request.refusal();
          if (c.observer != nullptr) c.observer->blame(s.asking, Ending::refused);
          return {done, false};
        }
        const uint8_t asked = s.asked_count;
        if (!edit_request(s, map, rest, map.frontier() + done, head, c, by)) {
          refuse(s, c, Refused::head_unedited, static_cast<uint8_t>(s.asked_count - asked));
          s.broken = !s.begun();
          break;
        }
        if (!s.begun())
          s.first = http::BodySkipper(head.framing, http::Side::request).finished()
                        ? Exchange::First::whole
                        : Exchange::First::asked;
        // Not while an answer is to be edited, by rules that were there before.
        if (!by.rules->follows() && s.asked_count == 0) {
          s.down = Exchange::Down::open;
          s.up = Exchange::Up::tunnel;
          return all(bytes);
        }
        done += head.bounds.end;
        s.asks = head.upgrade || head.kind == http::Method::connect;
        const bool tunnel = head.framing.body == Body::tunnel;
        s.request_body =
            http::BodySkipper(tunnel ? http::Framing{} : head.framing, http::Side::request);
        s.up = Exchange::Up::body;
        break;
      }
    }
  }
  return {done, false};
}

}  // namespace

RulesInUse ExchangeContext::by(uint32_t number) const {
  if (number == rules.number) return {&rules, table};
  if (number == 0) return {&kNobodys, nullptr};
  for (const KeptRules& k : kept)
    if (k.splice->rules->number == number)
      return {k.splice->rules.get(), k.splice->table.get(), &k};
  return {.rules = &rules, .table = table, .known = false};
}

uint16_t ExchangeContext::member_of(uint16_t slot) const {
  if (slot >= backends.size() || pool == kNoSlot) return balance::Maglev::kNone;
  const BackendEntry& b = backends[slot];
  if (b.configured && b.pool == pool) return b.member;
  for (const affinity::BackendIds::Entry& e : ids.find(affinity::backend_id(b.name)))
    if (ids.name(e.member) == b.name) return e.member;
  return balance::Maglev::kNone;
}

unsigned unread(const tcp::StreamMap& down, const tcp::EditPool& edits) {
  unsigned n = 0;
  for (tcp::EditId e = down.first_edit(); e != tcp::kNoEdit && n < kMostUnread; ++n)
    e = edits.header(e).next;
  return n;
}

void let_go(Exchange& s, ServiceCounters& service) {
  let_go(s.reading, service);
  let_go_of_asked(s, service);
}

Shown show_requests(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                    const ExchangeContext& c) {
  tcp::Bodies bodies;
  Shown shown = follow_requests(s, map, bytes, fin, c, bodies);
  shown.bodies = bodies;
  return shown;
}

Shown show_responses(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                     const ExchangeContext& c) {
  uint32_t done = 0;
  while (s.blame != Exchange::Blame::backend) {
    switch (s.down) {
      case Exchange::Down::open:
      case Exchange::Down::lost:
        return all(bytes);
      case Exchange::Down::body:
        if (!skip(s.response_body, bytes, done)) {
          if (!s.response_body.failed()) return {done, fin};
          c.worker.splice_bad_responses.add();
          return give_up(s, c, bytes, Exchange::Down::lost);
        }
        s.down = Exchange::Down::head;
        if (c.observer != nullptr) c.observer->response_ends(s.answering, map.frontier() + done);
        s.answering = kNoTransaction;
        s.call_up = s.call_up || s.up == Exchange::Up::refused;
        break;
      case Exchange::Down::head: {
        if (s.asked_count == 0)  // as clients do with empty lines behind a body
          while (done < bytes.size() && is_line_end(bytes[done])) ++done;
        if (done >= bytes.size()) return {done, fin};
        // Nobody has asked (408 before a close).
        if (s.asked_count == 0) return give_up(s, c, bytes, Exchange::Down::lost);
        const std::span<const uint8_t> rest = bytes.subspan(done);
        if (s.response.position() == 0 || rest.size() < s.response.position())
          s.response = http::ResponseFramer(s.front().method);
        if (s.response.position() == 0) s.response_at = c.now;
        http::ResponseHead head;
        const Fed fed = s.response.feed(rest, head);
        if (fed == Fed::need_more && !fin && rest.size() < Exchange::kMaxHead) return {done, false};
        if (fed != Fed::complete) {
          c.worker.splice_bad_responses.add();
          return give_up(s, c, bytes, Exchange::Down::lost);
        }
        s.response = http::ResponseFramer(s.front().method);
        if (head.status == 101 && !s.front().upgrade) {
          // What follows would be a tunnel that nobody asked for: requests in it pass unread.
          c.worker.splice_unasked_upgrades.add();
          c.service.refused[refused(Refused::upgrade_unasked)].add();
          if (c.observer != nullptr) c.observer->blame(s.front().transaction, Ending::bad_response);
          s.break_off(Exchange::Blame::backend);
          break;
        }
        done += head.bounds.end;
        if (c.times != nullptr) count_response(s, *c.times, head);
        if (head.is_interim()) break;
        s.answering = s.front().transaction;
        if (c.observer != nullptr)
          c.observer->answered(s.answering, head.status, map.frontier() + (done - head.bounds.end),
                               s.response_at);
        if (!edit_response(s, map, rest, map.frontier() + (done - head.bounds.end), head, c))
          c.worker.splice_edits_lost.add();
        answered(s, c);
        if (head.framing.body == Body::tunnel) {
          s.up = Exchange::Up::tunnel;
          if (c.observer != nullptr) c.observer->tunnels(s.answering);
          forget_asked(s, c.service);
          s.call_up = true;
          s.down = Exchange::Down::open;
          return all(bytes);
        }
        // An upgrade was refused, perhaps before the body of its request has ended: requests go on.
        if (s.asked_count == 0) s.asks = false;
        if (s.asked_count == 0 && s.up == Exchange::Up::ask) {
          s.up = Exchange::Up::head;
          s.call_up = true;
        }
        if (head.doubt != http::Refusal::none) {
          c.worker.splice_bad_responses.add();
          return give_up(s, c, bytes, Exchange::Down::lost);
        }
        // Where it ends nobody looks then, but for the log.
        if (c.observer != nullptr && head.framing.body != Body::until_close &&
            head.framing.body != Body::chunked && head.framing.length <= kBlind)
          c.observer->response_ends(
              s.answering, map.frontier() + done + static_cast<uint32_t>(head.framing.length));
        if (head.framing.body == Body::until_close || !head.keep_alive)
          return give_up(s, c, bytes, Exchange::Down::open);
        s.response_body = http::BodySkipper(head.framing, http::Side::response);
        s.down = Exchange::Down::body;
        break;
      }
    }
  }
  return {done, false};
}

}  // namespace limpet::dataplane
