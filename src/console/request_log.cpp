// Records out of the rings, and what they say.
#include "limpet/console/request_log.h"

#include <fmt/core.h>
#include <netinet/in.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "limpet/affinity/reason.h"
#include "limpet/affinity/settings.h"

namespace limpet::console {
namespace {

using dataplane::LogRecord;
using Json = nlohmann::ordered_json;

std::string endpoint(const IpAddress& address, be16 port) {
  return address.is_v4() ? fmt::format("{}:{}", address.to_string(), port.host())
                         : fmt::format("[{}]:{}", address.to_string(), port.host());
}

// Milliseconds since 1970, UTC: "2026-12-01T12:00:00.123Z".
std::string stamp(double unix_time) {
  const auto ms = static_cast<int64_t>(std::floor(unix_time * 1000));
  const time_t seconds = ms / 1000;
  tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> text{};
  const size_t n = strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  return fmt::format("{}.{:03}Z", std::string_view(text.data(), n), ms % 1000);
}

std::string escaped(std::string_view octets) {
  std::string out;
  for (const char c : octets) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet > 0x20 && octet < 0x7f && c != '"' && c != '\\')
      out += c;
    else
      out += fmt::format("\\x{:02x}", octet);
  }
  return out;
}

// As the characters of Latin-1, so that no octet is lost and every string is one.
std::string latin1(std::string_view octets) {
  std::string out;
  for (const char c : octets) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x80) {
      out += c;
    } else {
      out += static_cast<char>(0xc0 | octet >> 6);
      out += static_cast<char>(0x80 | (octet & 0x3f));
    }
  }
  return out;
}

double ms(Duration d) {
  return static_cast<double>(d.count() / 1000) / 1000;
}

// What the slots of a record mean by now: a name may have gone meanwhile.
struct Names {
  std::string service = "unknown";
  std::string backend;  // "web/s1"; empty: there was none
  std::optional<std::pair<IpAddress, be16>> backend_at, via;
  std::string entry;  // empty: none chose
};

Names names_of(const publish::Slots& slots, const LogRecord& r) {
  Names names;
  if (r.service < slots.services.size() && slots.services[r.service].entry.used) {
    const dataplane::ServiceEntry& service = slots.services[r.service].entry;
    names.service = service.name;
    if (r.entry != LogRecord::kNoEntry && service.splice != nullptr) {
      const auto& entries = service.splice->rules->settings.entries;
      if (r.entry < entries.size()) names.entry = affinity::carrier_name(entries[r.entry]);
    }
  }
  if (r.backend == dataplane::kNoSlot) return names;
  names.backend = "unknown";
  if (r.backend < slots.backends.size()) {
    const publish::BackendSlot& b = slots.backends[r.backend];
    if (b.used && b.generation == r.backend_generation) {
      names.backend = fmt::format("{}/{}", b.pool, b.name);
      names.backend_at = {b.endpoint.address, b.endpoint.port};
    }
  }
  if (r.source < slots.sources.size()) names.via = {slots.sources[r.source].address, r.source_port};
  return names;
}

std::string_view protocol_name(const LogRecord& r) {
  return r.protocol == IPPROTO_UDP ? "udp" : "tcp";
}

std::string_view reason_of(const LogRecord& r) {
  return r.reason < affinity::kReasonCount
             ? affinity::reason_name(static_cast<affinity::Reason>(r.reason))
             : "unknown";
}

std::string in_ms(Duration d) {
  return d == dataplane::kNever ? "-" : fmt::format("{:.3f}", ms(d));
}

}  // namespace

bool LineRate::take(Instant now) {
  if (at_.ns != 0 && now > at_) {
    const uint64_t passed = std::min<uint64_t>(now.ns - at_.ns, kLine);  // a second fills it
    credit_ = std::min(credit_ + passed * rate_, rate_ * kLine);
  }
  at_ = now;
  if (credit_ < kLine) return false;
  credit_ -= kLine;
  return true;
}

std::string text_line(const publish::Slots& slots, const LogRecord& r, const WallClock& clock) {
  const Names names = names_of(slots, r);
  const auto place = [](const auto& at) { return at ? endpoint(at->first, at->second) : "-"; };
  const std::array<char, 2> letters = dataplane::ending_letters(r.ending, r.phase);
  std::string line = fmt::format("{} {} {} -> ", stamp(clock.at(r.ended)), names.service,
                                 endpoint(r.client, r.client_port));
  if (names.backend.empty())
    line += "nobody";
  else
    line += fmt::format("{} {}", names.backend, place(names.backend_at));
  line += fmt::format(" via {} ", place(names.via));
  if (r.forwarding == Forwarding::splice) {
    const std::string path = escaped(r.path_text());
    line += fmt::format(
        "{} {}{} {} reason={} entry={} head_ms={} connect_ms={} first_byte_ms={} total_ms={} "
        "tries={} in={} out={}",
        r.verb_text().empty() ? "-" : escaped(r.verb_text()), path.empty() ? "-" : path,
        r.path_cut ? "..." : "", r.status == 0 ? "-" : std::to_string(r.status), reason_of(r),
        names.entry.empty() ? "-" : names.entry, in_ms(r.head), in_ms(r.connect),
        in_ms(r.first_byte), in_ms(r.total), r.tries, r.in, r.out);
  } else {
    line += fmt::format("{} reason={} begin={} total_ms={}", protocol_name(r), reason_of(r),
                        stamp(clock.at(r.ended) - std::chrono::duration<double>(r.total).count()),
                        in_ms(r.total));
  }
  return line +
         fmt::format(" end={} {}{}", dataplane::ending_name(r.ending), letters[0], letters[1]);
}

std::string json_line(const publish::Slots& slots, const LogRecord& r, const WallClock& clock) {
  const Names names = names_of(slots, r);
  const std::array<char, 2> letters = dataplane::ending_letters(r.ending, r.phase);
  const auto took = [](Duration d) { return d == dataplane::kNever ? Json() : Json(ms(d)); };
  Json j;
  j["time"] = stamp(clock.at(r.ended));
  j["service"] = names.service;
  j["client"] = r.client.to_string();
  j["client_port"] = r.client_port.host();
  j["backend"] = names.backend.empty() ? Json() : Json(names.backend);
  const auto place = [&j](const char* address, const char* port, const auto& at) {
    j[address] = at ? Json(at->first.to_string()) : Json();
    j[port] = at ? Json(at->second.host()) : Json();
  };
  place("backend_address", "backend_port", names.backend_at);
  place("source_address", "source_port", names.via);
  j["protocol"] = protocol_name(r);
  j["reason"] = reason_of(r);
  if (r.forwarding == Forwarding::splice) {
    j["entry"] = names.entry.empty() ? Json() : Json(latin1(names.entry));
    j["method"] = r.verb_text().empty() ? Json() : Json(latin1(r.verb_text()));
    j["path"] = r.path_text().empty() ? Json() : Json(latin1(r.path_text()));
    j["path_cut"] = r.path_cut;
    j["status"] = r.status == 0 ? Json() : Json(r.status);
    j["own_response"] = r.own;
    j["head_ms"] = took(r.head);
    j["connect_ms"] = took(r.connect);
    j["first_byte_ms"] = took(r.first_byte);
    j["tries"] = r.tries;
    j["in"] = r.in;
    j["out"] = r.out;
  }
  j["total_ms"] = took(r.total);
  j["end"] = dataplane::ending_name(r.ending);
  j["state"] = std::string(letters.begin(), letters.end());
  return j.dump(-1, ' ', true);
}

Status RequestLog::prepare(const config::Log& log) {
  wanted_ = log;
  fresh_.reset();
  if (log.to == config::Log::To::nowhere) return Ok{};
  auto sink = LogSink::open(log, totals_);
  if (!sink) return Error{sink.error()};
  fresh_ = std::move(*sink);
  return Ok{};
}

void RequestLog::commit() {
  if (!rate_ || wanted_.rate != settings_.rate) rate_.emplace(wanted_.rate);
  settings_ = wanted_;
  if (sink_ != nullptr) {  // nobody waits until it has written what it has
    sink_->retire();
    old_.push_back(std::move(sink_));
  }
  sink_ = std::move(fresh_);
}

bool RequestLog::turn(const publish::Slots& slots, const WallClock& clock) {
  bool more = false;
  std::erase_if(old_, [](const auto& sink) { return sink->retired(); });
  for (const dataplane::WorkerRings& rings : shared_.rings) {
    std::array<LogRecord, kPerTurn> records;
    unsigned left = 0;
    const unsigned got = rte_ring_sc_dequeue_burst_elem(rings.log, records.data(),
                                                        sizeof(LogRecord), kPerTurn, &left);
    more = more || left != 0;
    for (unsigned i = 0; i < got && sink_ != nullptr; ++i) {
      if (!rate_->take(clock.now)) {
        ++totals_.lost_rate;
        continue;
      }
      sink_->write(settings_.format == config::Log::Format::json
                       ? json_line(slots, records[i], clock)
                       : text_line(slots, records[i], clock));
    }
  }
  return more;
}

}  // namespace limpet::console
