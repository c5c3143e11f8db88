#include "network.h"

#include <algorithm>

namespace limpet::sim {

void Network::join(Host& host, uint16_t port, LinkOptions up, LinkOptions down) {
  Station s;
  s.host = &host;
  s.port = port;
  s.options[0] = down;
  s.options[1] = up;
  stations_.push_back(s);
}

void Network::set_link(const Host& host, bool up, LinkOptions options) {
  for (Station& s : stations_) {
    if (s.host == &host) s.options[up ? 1 : 0] = options;
  }
}

std::vector<std::string> Network::unused_rules() const {
  std::vector<std::string> names;
  for (const Rule& r : rules_) {
    if (r.applied < r.times) {
      names.push_back(r.name + ": applied " + std::to_string(r.applied) + " times, not " +
                      std::to_string(r.times));
    }
  }
  return names;
}

void Network::push(Event event) {
  event.number = events_++;
  queue_.push_back(std::move(event));
  std::push_heap(queue_.begin(), queue_.end(), Later{});
}

void Network::inject_to_host(Host& host, Bytes frame, Instant at) {
  for (size_t i = 0; i < stations_.size(); ++i) {
    if (stations_[i].host != &host) continue;
    push({.at = at, .kind = Event::Kind::to_host, .station = i, .frame = std::move(frame)});
    return;
  }
}

void Network::inject_to_box(uint16_t port, Bytes frame, Instant at) {
  push({.at = at, .kind = Event::Kind::to_box, .station = port, .frame = std::move(frame)});
}

void Network::at(Instant when, std::function<void(Instant)> call) {
  push({.at = when, .kind = Event::Kind::call, .call = std::move(call)});
}

void Network::told(size_t station, bool up, std::span<const uint8_t> frame, const char* fate) {
  if (trace == nullptr) return;
  const std::string host = stations_[station].host->name, box = "box";
  trace->frame(now_, up ? host : box, up ? box : host, frame, fate);
}

// A frame enters a link: rules first, then what the seed draws.
void Network::send(size_t station, bool up, Bytes frame) {
  Station& link = stations_[station];
  const LinkOptions& o = link.options[up ? 1 : 0];
  ++counts_.frames;
  const size_t length = frame.size() - kEthernet;
  if (length > o.mtu) {
    const Packet packet = parse(frame);
    if (packet.tcp.df) {
      ++counts_.too_big;
      told(station, up, frame, "too big");
      // The router of the link answers, as one hop from the sender.
      const IpAddress router =
          packet.tcp.from.is_v4() ? IpAddress::v4(192, 0, 2, 1) : *IpAddress::parse("2001:db8::1");
      Bytes error = emit_too_big(frame, router, o.mtu);
      if (up) {
        push({.at = now_ + o.delay,
              .kind = Event::Kind::to_host,
              .station = station,
              .frame = std::move(error)});
      } else {
        push({.at = now_ + o.delay,
              .kind = Event::Kind::to_box,
              .station = link.port,
              .frame = std::move(error)});
      }
      return;
    }
    ++counts_.fragmented;
  }
  if (!rules_.empty()) {
    const Packet packet = parse(frame);
    const Passing passing{*link.host, up, packet, frame, now_};
    for (Rule& r : rules_) {
      if (r.up != up || (!r.host.empty() && r.host != link.host->name)) continue;
      if (r.applied >= r.times || !r.match(passing) || ++r.matched < r.first) continue;
      ++r.applied;
      ++counts_.ruled;
      switch (r.what) {
        case Rule::What::drop:
          told(station, up, frame, ("dropped: " + r.name).c_str());
          return;
        case Rule::What::hold:
          told(station, up, frame, ("held: " + r.name).c_str());
          pass(station, up, std::move(frame), r.hold, true);
          return;
        case Rule::What::duplicate:
          told(station, up, frame, ("twice: " + r.name).c_str());
          pass(station, up, frame, r.hold, true);
          break;
        case Rule::What::call:
          if (r.call) r.call(passing);
          break;
      }
    }
  }
  if (random_.chance(o.loss, 1000)) {
    ++counts_.lost;
    told(station, up, frame, "lost");
    return;
  }
  const auto late = [&] {
    return Duration(static_cast<int64_t>(
        random_.between(1, static_cast<uint64_t>(std::max<int64_t>(1, o.reorder_by.count())))));
  };
  if (random_.chance(o.corrupt, 1000)) {
    ++counts_.corrupted;
    const size_t bit = random_.below((frame.size() - kEthernet) * 8);
    frame[kEthernet + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    told(station, up, frame, "damaged");
  }
  if (random_.chance(o.duplicate, 1000)) {
    ++counts_.duplicated;
    told(station, up, frame, "duplicated");
    pass(station, up, frame, late(), true);
  }
  if (random_.chance(o.reorder, 1000)) {
    ++counts_.reordered;
    told(station, up, frame, "late");
    pass(station, up, std::move(frame), late(), true);
    return;
  }
  told(station, up, frame, "");
  pass(station, up, std::move(frame), Duration{}, false);
}

void Network::pass(size_t station, bool up, Bytes frame, Duration extra, bool late) {
  Station& link = stations_[station];
  const LinkOptions& o = link.options[up ? 1 : 0];
  Instant at = now_ + o.delay + extra;
  if (o.jitter.count() > 0) {
    at =
        at + Duration(static_cast<int64_t>(random_.below(static_cast<uint64_t>(o.jitter.count()))));
  }
  if (!late) {  // nothing overtakes by jitter alone
    Instant& free = link.free_at[up ? 1 : 0];
    at = free = std::max(at, free);
  }
  push({.at = at,
        .kind = up ? Event::Kind::to_box : Event::Kind::to_host,
        .station = up ? link.port : station,
        .frame = std::move(frame)});
}

void Network::from_box(std::vector<Frame> frames) {
  for (Frame& f : frames) {
    const Packet packet = parse(f.bytes);
    size_t found = stations_.size();
    for (size_t i = 0; i < stations_.size(); ++i) {
      if (stations_[i].port == f.port && stations_[i].host->address == packet.tcp.to) found = i;
    }
    if (found < stations_.size()) {
      send(found, false, std::move(f.bytes));
    } else if (packet.kind != Packet::Kind::other && violations_.size() < 20) {
      violations_.push_back("the box sent to nobody: " + describe(packet.tcp));
    }
  }
}

void Network::pump() {
  for (size_t i = 0; i < stations_.size(); ++i) {
    for (Bytes& frame : stations_[i].host->take()) send(i, true, std::move(frame));
  }
}

void Network::handle(Event event) {
  switch (event.kind) {
    case Event::Kind::to_box:
      from_box(box_.on_frame(static_cast<uint16_t>(event.station), std::move(event.frame), now_));
      break;
    case Event::Kind::to_host:
      stations_[event.station].host->on_frame(event.frame, now_);
      break;
    case Event::Kind::call:
      event.call(now_);
      break;
  }
}

Instant Network::next_time() const {
  Instant next = queue_.empty() ? Endpoint::kNever : queue_.front().at;
  for (const Station& s : stations_) next = std::min(next, s.host->next_timer());
  if (const auto box = box_.next_timer()) next = std::min(next, *box);
  return next;
}

bool Network::run(const std::function<bool()>& done, Instant until) {
  pump();
  for (uint64_t turns = 0; !done(); ++turns) {
    const Instant next = next_time();
    if (next > until) {
      now_ = until;
      return done();
    }
    if (turns > event_limit || events_ > event_limit) {
      violations_.push_back("more than " + std::to_string(event_limit) + " events: a storm");
      return false;
    }
    now_ = std::max(now_, next);
    while (!queue_.empty() && queue_.front().at <= now_) {
      std::pop_heap(queue_.begin(), queue_.end(), Later{});
      Event event = std::move(queue_.back());
      queue_.pop_back();
      handle(std::move(event));
      pump();
    }
    for (const Station& s : stations_) {
      if (s.host->next_timer() <= now_) s.host->on_timer(now_);
    }
    if (const auto box = box_.next_timer(); box && *box <= now_) from_box(box_.on_timer(now_));
    pump();
  }
  return true;
}

}  // namespace limpet::sim
