#include "limpet/dataplane/said.h"

#include <memory>

#include "exchange.h"

namespace limpet::dataplane {

Result<Said> read_request(const Snapshot& snapshot, const ServiceEntry& service,
                          std::span<const balance::BackendStatus> status, ExchangeTools& tools,
                          std::string_view head, uint64_t unix_now) {
  constexpr uint64_t kEditBytes = 1 << 16;
  const PoolEntry& pool = snapshot.pools[service.pool];
  if (head.size() > service.splice->rules->settings.head_bytes)
    return Error{refused_text(refused(Refused::head_too_long))};
  // Nobody's counters.
  const auto worker = std::make_unique<WorkerCounters>();
  const auto counters = std::make_unique<ServiceCounters>();
  std::array<PersistenceCounters, affinity::kMaxEntries> entries;
  tcp::EditPool edits(kEditBytes);
  const ExchangeContext context{.rules = *service.splice->rules,
                                .ids = pool.ids,
                                .pool = service.pool,
                                .members = pool.members,
                                .backends = snapshot.backends,
                                .status = status,
                                .tools = &tools,
                                .counters = entries,
                                .worker = *worker,
                                .service = *counters,
                                .edits = edits,
                                .client = service.vip,
                                .vip = service.vip,
                                .now = {},
                                .unix_now = unix_now,
                                .maglev = &pool.maglev,
                                .seed = service.policy.seed()};
  Exchange exchange;
  tcp::StreamMap map{tcp::Seq{0}, tcp::Seq{0}};
  show_requests(exchange, map, {reinterpret_cast<const uint8_t*>(head.data()), head.size()}, false,
                context);
  if (exchange.refused != http::Refusal::none)
    return Error{refused_text(refused(exchange.refused))};
  if (!exchange.begun() || exchange.broken) return Error{"the head is not complete"};
  Said said;
  said.cookie_count = outcomes(exchange, context, {}, said.cookies);
  for (size_t i = 0; i < said.cookie_count; ++i)
    said.details[i] = exchange.asked[0].cookies[i].detail;
  said.header_count = keys(exchange, context, said.keys);
  let_go(exchange, *counters);
  map.release(edits);
  return said;
}

}  // namespace limpet::dataplane
