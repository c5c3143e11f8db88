// Requests and responses in order, whatever pieces they come in.
#include "session.h"

#include <algorithm>

#include "session_edits.h"

namespace limpet::dataplane {
namespace {

using http::Body;
using http::Fed;
using tcp::Shown;

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

// Which clients send behind a body that needs none (RFC 9112, 2.2).
bool only_empty_lines(std::span<const uint8_t> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](uint8_t c) { return c == '\r' || c == '\n'; });
}

// Responses cannot be told apart any more: they pass as they are.
Shown give_up(Session& s, std::span<const uint8_t> bytes) {
  s.down = Session::Down::open;
  s.asked_count = 0;
  // What an upgrade led to is not known either. Nothing may pass that would have been edited.
  if (s.up == Session::Up::ask) s.up = Session::Up::head;
  s.call_up = s.waits;
  s.waits = false;
  return all(bytes);
}

void answered(Session& s) {
  s.asked_first = static_cast<uint8_t>((s.asked_first + 1u) % Session::kMaxAsked);
  --s.asked_count;
  s.call_up = s.call_up || s.waits;
  s.waits = false;
}

Shown follow_requests(Session& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                      const SessionContext& c, tcp::Bodies& bodies) {
  uint32_t done = 0;
  while (!s.broken) {
    switch (s.up) {
      case Session::Up::body:
        if (!skip(s.request_body, bytes, done, &bodies)) {
          // What follows cannot be found: nothing that looks like a request may pass unseen.
          s.broken = s.request_body.failed();
          return {done, fin && !s.broken};
        }
        // Where no response is read any more nobody will hear what became of an upgrade. What
        // follows counts as a request then: if it is none it is refused, and if it is one nothing
        // of it slips past.
        s.up = s.asks && s.down != Session::Down::open ? Session::Up::ask : Session::Up::head;
        s.request = {};
        break;
      case Session::Up::ask:
        s.waits = true;
        return {done, fin && done >= bytes.size()};
      case Session::Up::tunnel:
        return all(bytes);
      case Session::Up::head: {
        if (done >= bytes.size()) return {done, fin};
        if (s.asked_count == Session::kMaxAsked) {
          s.waits = true;
          return {done, false};
        }
        const std::span<const uint8_t> rest = bytes.subspan(done);
        // What was not kept comes again, perhaps in smaller pieces.
        if (rest.size() < s.request.position()) s.request = {};
        http::RequestHead head;
        const Fed fed = s.request.feed(rest, head);
        if (fed == Fed::need_more) {
          // Behind the first one there is a backend, and some take the end of the stream for the
          // end of the head. (The first one is refused by who collects it.)
          if (fin && (!s.begun || only_empty_lines(rest))) return all(bytes);
          // The first one's length is the business of who collects it.
          const uint32_t most = std::min(c.rules.head_bytes, Session::kMaxHead);
          s.broken = s.begun && (fin || rest.size() >= most);
          return {done, false};
        }
        if (fed == Fed::refused) {
          s.refused = s.request.refusal();
          s.broken = s.begun;
          return {done, false};
        }
        if (!edit_request(s, map, rest, map.frontier() + done, head, c)) {
          s.broken = true;
          break;
        }
        s.begun = true;
        if (!c.rules.follows()) {
          s.down = Session::Down::open;
          s.up = Session::Up::tunnel;
          return all(bytes);
        }
        done += head.bounds.end;
        s.asks = head.upgrade || head.kind == http::Method::connect;
        const bool tunnel = head.framing.body == Body::tunnel;
        s.request_body =
            http::BodySkipper(tunnel ? http::Framing{} : head.framing, http::Side::request);
        s.up = Session::Up::body;
        break;
      }
    }
  }
  return {done, false};
}

}  // namespace

Shown show_requests(Session& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                    const SessionContext& c) {
  tcp::Bodies bodies;
  Shown shown = follow_requests(s, map, bytes, fin, c, bodies);
  shown.bodies = bodies;
  return shown;
}

Shown show_responses(Session& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, bool fin,
                     const SessionContext& c) {
  uint32_t done = 0;
  while (!s.disowned) {
    switch (s.down) {
      case Session::Down::open:
        return all(bytes);
      case Session::Down::body:
        if (!skip(s.response_body, bytes, done)) {
          if (!s.response_body.failed()) return {done, fin};
          c.worker.splice_bad_responses.add();
          return give_up(s, bytes);
        }
        s.down = Session::Down::head;
        break;
      case Session::Down::head: {
        if (done >= bytes.size()) return {done, fin};
        if (s.asked_count == 0) return give_up(s, bytes);  // nobody has asked (408 before a close)
        const std::span<const uint8_t> rest = bytes.subspan(done);
        if (s.response.position() == 0 || rest.size() < s.response.position())
          s.response = http::ResponseFramer(s.front().method);
        http::ResponseHead head;
        const Fed fed = s.response.feed(rest, head);
        if (fed == Fed::need_more && !fin && rest.size() < Session::kMaxHead) return {done, false};
        if (fed != Fed::complete) {
          c.worker.splice_bad_responses.add();
          return give_up(s, bytes);
        }
        s.response = http::ResponseFramer(s.front().method);
        if (head.status == 101 && !s.front().upgrade) {
          // What follows would be a tunnel that nobody asked for: requests in it pass unread.
          c.worker.splice_unasked_upgrades.add();
          s.broken = s.disowned = true;
          break;
        }
        done += head.bounds.end;
        if (head.is_interim()) break;
        if (!edit_response(s, map, rest, map.frontier() + (done - head.bounds.end), head, c))
          c.worker.splice_edits_lost.add();
        const bool asked = s.front().asks;
        answered(s);
        if (head.framing.body == Body::tunnel) {
          s.up = Session::Up::tunnel;
          s.asked_count = 0;
          s.call_up = true;
          s.down = Session::Down::open;
          return all(bytes);
        }
        if (asked && s.up == Session::Up::ask) {  // refused: requests go on
          s.up = Session::Up::head;
          s.call_up = true;
        }
        if (head.framing.body == Body::until_close || !head.keep_alive) return give_up(s, bytes);
        s.response_body = http::BodySkipper(head.framing, http::Side::response);
        s.down = Session::Down::body;
        break;
      }
    }
  }
  return {done, false};
}

}  // namespace limpet::dataplane
