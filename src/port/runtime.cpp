#include "limpet/port/runtime.h"

#include <fmt/core.h>
#include <rte_errno.h>
#include <rte_lcore.h>
#include <rte_mbuf.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <map>

#include "device.h"
#include "diagnose.h"
#include "limpet/base/log.h"
#include "output.h"
#include "rss_key.h"

namespace limpet::port {
namespace {

constexpr unsigned kMbufCache = 256;
constexpr unsigned kLinkWaitMs = 3000;

}  // namespace

Runtime::Runtime(const Eal& eal) : eal_(eal) {}

Runtime::~Runtime() {
  stop_ports();
  shared_.reset();  // frees what is left in its rings
  for (const auto& [socket, pool] : pools_) rte_mempool_free(pool);
}

Status Runtime::find_workers() {
  lcores_ = eal_.worker_lcores();
  if (lcores_.empty())
    return Error{fmt::format(
        "no worker: the EAL has lcore {} only, which runs the control loop. Give it at least two, "
        "such as \"--lcores\", \"0@0,1@1\" in `eal` (lcore 0 on CPU 0 for control, a worker on "
        "CPU "
        "1; \"0@0,1@0\" shares a single CPU)",
        rte_get_main_lcore())};
  if (lcores_.size() > kMaxWorkers)
    return Error{
        fmt::format("{} worker lcores; limpet runs {} at most: give fewer with --lcores in `eal`",
                    lcores_.size(), kMaxWorkers)};
  return Ok{};
}

Status Runtime::find_devices(const RuntimeSetup& setup) {
  for (const PortSetup& p : setup.ports) {
    uint16_t id = 0;
    if (rte_eth_dev_get_port_by_name(p.device.c_str(), &id) != 0)
      return Error{explain_missing_device({}, p.name, p.device, eal_.arguments(), eal_.devices())};
    auto device = Device::inspect(id, p, eal_.arguments());
    if (!device.ok()) return Error{device.error()};
    devices_.push_back(std::move(*device));
  }
  return Ok{};
}

Result<rte_mempool*> Runtime::make_pool(int socket, uint32_t count, uint16_t data_room) {
  const std::string name = fmt::format("limpet_{}", socket);
  rte_mempool* pool =
      rte_pktmbuf_pool_create(name.c_str(), count, kMbufCache, 0, data_room, socket);
  // Without hugepages all memory is on one socket.
  if (pool == nullptr)
    pool = rte_pktmbuf_pool_create(name.c_str(), count, kMbufCache, 0, data_room, SOCKET_ID_ANY);
  if (pool == nullptr && rte_errno == ENOMEM)
    return Error{explain_memory(eal_.arguments(), fmt::format("{} packet buffers", count),
                                uint64_t{count} * (data_room + sizeof(rte_mbuf) + 64))};
  if (pool == nullptr)
    return Error{
        fmt::format("cannot create {} packet buffers: {}", count, rte_strerror(rte_errno))};
  return pool;
}

// One pool for each socket that a worker runs on.
Status Runtime::make_pools(const RuntimeSetup& setup) {
  std::map<int, unsigned> workers_on;
  for (const unsigned lcore : lcores_)
    ++workers_on[static_cast<int>(rte_lcore_to_socket_id(lcore))];

  auto key = random_rss_key();
  if (!key.ok()) return Error{key.error()};
  key_ = *key;
  toeplitz_ = std::make_unique<flow::Toeplitz>(key_);

  MbufDemand demand;
  demand.workers = static_cast<unsigned>(lcores_.size());
  demand.held_packets = setup.held_packets;
  uint16_t mtu = 0;
  uint32_t framesz = 0;
  for (size_t i = 0; i < devices_.size(); ++i) {
    devices_[i].plan({.workers = demand.workers,
                      .key = key_,
                      .single_pool = workers_on.size() == 1,
                      .all_queues = false});
    const PortPlan& p = devices_[i].planned();
    demand.ports.push_back({p.rx_queues, p.rx_descriptors, p.tx_queues, p.tx_descriptors});
    mtu = std::max(mtu, setup.ports[i].mtu);
    framesz = std::max(framesz, devices_[i].framesz());
  }
  const uint64_t needed = mbufs_needed(demand);
  const uint16_t data_room = mbuf_data_room(mtu, framesz);
  for (const auto& [socket, workers] : workers_on) {
    const auto count =
        static_cast<uint32_t>((needed * workers + demand.workers - 1) / demand.workers);
    auto pool = make_pool(socket, count, data_room);
    if (!pool.ok()) return Error{pool.error()};
    pools_[socket] = *pool;
    pool_size_ += count;
  }
  for (const unsigned lcore : lcores_)
    pool_of_worker_.push_back(pools_[static_cast<int>(rte_lcore_to_socket_id(lcore))]);
  return Ok{};
}

Status Runtime::make_shared(size_t port_count) {
  auto made = dataplane::Shared::create(static_cast<unsigned>(lcores_.size()), "limpet");
  if (!made.ok()) return Error{made.error()};
  shared_ = std::move(*made);
  for (size_t i = 0; i < lcores_.size(); ++i)
    stats_.push_back(std::make_unique<dataplane::WorkerStats>(port_count, dataplane::kMaxBackends,
                                                              dataplane::kMaxServices));
  return Ok{};
}

Status Runtime::start_devices(const RuntimeSetup& setup) {
  const auto workers = static_cast<unsigned>(lcores_.size());
  for (size_t i = 0; i < devices_.size(); ++i) {
    Device& d = devices_[i];
    std::vector<rte_mempool*> pool_of_queue;
    for (unsigned q = 0; q < d.planned().rx_queues; ++q)
      pool_of_queue.push_back(pool_of_worker_[receiver(i, q)]);
    if (auto started = d.start(pool_of_queue); !started.ok()) return started;

    dataplane::PortEntry entry;
    entry.name = setup.ports[i].name;
    entry.mac = d.mac();
    entry.mtu = setup.ports[i].mtu;
    entry.kernel_shares = d.kernel_shares();
    entry.rss = d.planned().trust_rss;
    entry.reta.workers = workers;
    entry.reta.size = entry.rss ? d.planned().reta_size
                                : std::max<uint32_t>(kSoftwareReta, std::bit_ceil(workers));
    entry.addresses = setup.ports[i].addresses;
    ports_.push_back(std::move(entry));
  }
  return Ok{};
}

// The worker that reads a queue: the one of its number, unless there are too few to go round; then
// each port begins with another worker, so that one of them does not get all.
unsigned Runtime::receiver(size_t port, unsigned queue) const {
  const bool few = devices_[port].planned().rx_queues < lcores_.size();
  return static_cast<unsigned>((queue + (few ? port : 0)) % lcores_.size());
}

// Receive queues are dealt out; a worker's transmit queue is the one of its number where there are
// enough, else shared under a lock.
void Runtime::share_out_queues() {
  const auto workers = static_cast<unsigned>(lcores_.size());
  queues_.resize(workers);
  std::vector<std::vector<TxQueue>> tx(workers);
  for (size_t i = 0; i < devices_.size(); ++i) {
    const Device& d = devices_[i];
    const PortPlan& p = d.planned();
    for (uint16_t q = 0; q < p.rx_queues; ++q)
      queues_[receiver(i, q)].push_back({static_cast<uint16_t>(i), d.id(), q});
    std::vector<SpinLock*> locks(p.tx_queues, nullptr);
    if (p.tx_queues < workers)
      for (SpinLock*& lock : locks) {
        locks_.push_back(std::make_unique<SpinLock>());
        lock = locks_.back().get();
      }
    for (unsigned w = 0; w < workers; ++w) {
      const auto q = static_cast<uint16_t>(w % p.tx_queues);
      tx[w].push_back({d.id(), q, locks[q]});
    }
  }
  for (auto& t : tx) outputs_.push_back(std::make_unique<TxPorts>(std::move(t)));
}

void Runtime::wait_for_links(const RuntimeSetup& setup) {
  constexpr unsigned kStepMs = 50;
  unsigned waited = 0;
  for (size_t i = 0; i < devices_.size(); ++i) {
    for (; !devices_[i].up() && waited < kLinkWaitMs; waited += kStepMs) usleep(kStepMs * 1000);
    if (!devices_[i].up())
      log(LogLevel::warning, "port", "{} ({}): no link; going on without", setup.ports[i].name,
          setup.ports[i].device);
  }
}

uint32_t Runtime::stop_ports() {
  for (Device& d : devices_) d.stop();
  uint32_t in_rings = 0;
  if (shared_ != nullptr)
    for (const dataplane::WorkerRings& r : shared_->rings) in_rings += rte_ring_count(r.frames);
  const uint32_t used = mbufs_in_use();
  return used - std::min(used, in_rings);
}

dataplane::NicCounters Runtime::nic_counters(size_t port) const {
  return port < devices_.size() ? devices_[port].counters() : dataplane::NicCounters{};
}

bool Runtime::link_up(size_t port) const {
  return port < devices_.size() && devices_[port].up();
}

uint32_t Runtime::mbufs_in_use() const {
  uint32_t n = 0;
  for (const auto& [socket, pool] : pools_) n += rte_mempool_in_use_count(pool);
  return n;
}

Result<std::unique_ptr<Runtime>> Runtime::start(const Eal& eal, const RuntimeSetup& setup) {
  std::unique_ptr<Runtime> runtime(new Runtime(eal));
  if (auto s = runtime->find_workers(); !s.ok()) return Error{s.error()};
  if (auto s = runtime->find_devices(setup); !s.ok()) return Error{s.error()};
  if (auto s = runtime->make_pools(setup); !s.ok()) return Error{s.error()};
  if (auto s = runtime->make_shared(setup.ports.size()); !s.ok()) return Error{s.error()};
  if (auto s = runtime->start_devices(setup); !s.ok()) return Error{s.error()};
  runtime->share_out_queues();
  runtime->wait_for_links(setup);
  return runtime;
}

dataplane::Output& Runtime::output(unsigned worker) {
  return *outputs_[worker];
}

}  // namespace limpet::port
