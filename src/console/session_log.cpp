// Notes out of the rings, and what they say.
#include "limpet/console/session_log.h"

#include <fmt/core.h>
#include <rte_ring_elem.h>

#include <algorithm>
#include <array>

#include "limpet/affinity/persistence.h"
#include "limpet/affinity/reason.h"

namespace limpet::console {
namespace {

using dataplane::SessionNote;

std::string endpoint(const IpAddress& address, be16 port) {
  const std::string text = address.to_string();
  return address.is_v4() ? fmt::format("{}:{}", text, port.host())
                         : fmt::format("[{}]:{}", text, port.host());
}

// " SRV=V- X-User-ID=V": names as they were when the request was read.
std::string carriers(const publish::ServiceSlot& service, const SessionNote& note) {
  const dataplane::HttpRules* by = service.rules(note.rules);
  if (by == nullptr) return {};
  const auto& rules = by->cookies;
  std::string out;
  for (size_t i = 0; i < note.cookies && i < note.request.size() && i < rules.size(); ++i) {
    out += fmt::format(" {}={}-", rules[i].policy.name(), affinity::letter(note.request[i]));
    if (note.detail[i] != affinity::InvalidDetail::none)
      out += fmt::format("({})", affinity::name(note.detail[i]));
  }
  for (size_t i = 0; i < note.headers && i < by->headers.size(); ++i)
    out += fmt::format(" {}={}", affinity::carrier_name(by->settings.entries[by->headers[i].entry]),
                       affinity::letter(note.header[i]));
  return out;
}

}  // namespace

bool SessionLog::turn(const publish::Slots& slots) {
  bool more = false;
  for (const dataplane::WorkerRings& rings : shared_.rings) {
    std::array<SessionNote, kPerTurn> notes;
    unsigned left = 0;
    const unsigned got = rte_ring_sc_dequeue_burst_elem(rings.notes, notes.data(),
                                                        sizeof(SessionNote), kPerTurn, &left);
    more = more || left != 0;
    for (unsigned i = 0; i < got; ++i)
      if (const std::string line = session_line(slots, notes[i]); !line.empty()) write_(line);
  }
  return more;
}

std::string session_line(const publish::Slots& slots, const SessionNote& note) {
  if (note.service >= slots.services.size() || !slots.services[note.service].entry.used ||
      note.reason >= affinity::kReasonCount)
    return {};
  const dataplane::ServiceEntry& service = slots.services[note.service].entry;
  std::string to = "nobody";
  if (note.backend != dataplane::kNoSlot) {
    if (note.backend >= slots.backends.size()) return {};
    const publish::BackendSlot& b = slots.backends[note.backend];
    if (!b.used || b.generation != note.backend_generation) return {};
    to = fmt::format("{}/{} {}", b.pool, b.name, endpoint(b.endpoint.address, b.endpoint.port));
  }
  return fmt::format("{} {} -> {} reason={}{}", service.name,
                     endpoint(note.client, note.client_port), to,
                     affinity::reason_name(static_cast<affinity::Reason>(note.reason)),
                     carriers(slots.services[note.service], note));
}

}  // namespace limpet::console
