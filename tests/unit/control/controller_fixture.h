// A controller on its own thread, with its socket, between threads that play the workers.
#pragma once

#include <gtest/gtest.h>
#include <rte_ring_elem.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "limpet/base/log.h"
#include "limpet/console/client.h"
#include "limpet/control/controller.h"
#include "sample.h"

namespace limpet::control {

using namespace std::chrono_literals;
using dataplane::ToWorker;
using nlohmann::json;

// Does what a worker does with the control side: drains its ring, reports quiescent, reads the
// snapshot, answers queries.
class FakeWorker {
 public:
  FakeWorker(dataplane::Shared& shared, dataplane::WorkerStats& stats, unsigned id)
      : shared_(shared), stats_(stats), id_(id), thread_([this] { run(); }) {}
  ~FakeWorker() { stop(); }
  void stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
  }
  balance::BackendStatus status(uint16_t slot) {
    const std::lock_guard lock(mutex_);
    return states_[slot];
  }
  std::vector<uint16_t> announced() {
    const std::lock_guard lock(mutex_);
    return announced_;
  }
  uint64_t serial() const { return stats_.worker.snapshot.get(); }
  std::atomic<bool> answers{true};

 private:
  void run() {
    rte_rcu_qsbr_thread_register(shared_.rcu, id_);
    rte_rcu_qsbr_thread_online(shared_.rcu, id_);
    while (!stop_) {
      ToWorker m;
      while (rte_ring_sc_dequeue_elem(shared_.rings[id_].control, &m, sizeof m) == 0) {
        if (m.type == ToWorker::Type::query) {
          waiting_.push_back(m.query);
          continue;
        }
        const std::lock_guard lock(mutex_);
        if (m.type == ToWorker::Type::announce)
          announced_.push_back(m.slot);
        else
          states_[m.slot] = m.status;
      }
      rte_rcu_qsbr_quiescent(shared_.rcu, id_);
      const auto* snapshot = shared_.snapshot.load(std::memory_order_acquire);
      if (snapshot != nullptr) {
        stats_.worker.snapshot.set(snapshot->serial);
        for (const auto& b : snapshot->backends) bytes_ += b.name.size();  // a reader's touch
      }
      while (answers && !waiting_.empty()) {
        answer(*waiting_.back());
        waiting_.pop_back();
      }
      std::this_thread::sleep_for(100us);
    }
    rte_rcu_qsbr_thread_offline(shared_.rcu, id_);
    rte_rcu_qsbr_thread_unregister(shared_.rcu, id_);
  }
  // Three flows, or two neighbors, or as many as there is room for.
  void answer(dataplane::Query& q) {
    q.now = 100'000;
    const size_t have = q.kind == dataplane::QueryKind::flows ? 3 : 2;
    const size_t room = q.kind == dataplane::QueryKind::flows ? q.flows.size() : q.neighbors.size();
    q.filled = static_cast<uint32_t>(std::min(have, room));
    q.truncated = have > room;
    for (uint32_t i = 0; i < q.filled; ++i) {
      if (q.kind == dataplane::QueryKind::flows) {
        flow::Listed& r = q.flows[i];
        r = {};
        r.protocol = 6;
        r.backend_generation = 1;
        r.client = IpAddress::v4(192, 0, 2, static_cast<uint8_t>(id_));
        r.last_seen = r.created = q.now;
        if (q.service != dataplane::kNoSlot) r.service = q.service;
      } else {
        q.neighbors[i] = {};
        q.neighbors[i].port = static_cast<uint16_t>(i);
        q.neighbors[i].address = IpAddress::v4(10, 1, 0, static_cast<uint8_t>(i));
      }
    }
    q.done.store(true, std::memory_order_release);
  }
  dataplane::Shared& shared_;
  dataplane::WorkerStats& stats_;
  unsigned id_;
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::map<uint16_t, balance::BackendStatus> states_;
  std::vector<uint16_t> announced_;
  std::vector<dataplane::Query*> waiting_;
  size_t bytes_ = 0;
  std::thread thread_;
};

class ControllerTest : public ::testing::Test {
 protected:
  // Checks would go to addresses that are not there.
  virtual std::string sample() {
    return with(kSample, "{ name = \"web\";\n",
                "{ name = \"web\"; health = { type = \"none\"; };\n");
  }
  virtual Duration patience() { return control::Setup().reload_patience; }
  void SetUp() override {
    log_set_level(LogLevel::error);
    static int count = 0;
    char name[] = "/tmp/limpet-control-test-XXXXXX";
    directory_ = mkdtemp(name);
    sample_ = sample();
    write_file(sample_);
    auto shared = dataplane::Shared::create(2, "ctl" + std::to_string(++count));
    ASSERT_TRUE(shared.ok()) << shared.error();
    shared_ = std::move(*shared);
    control::Setup setup;
    setup.config_file = directory_ + "/limpet.cfg";
    config::Loaded loaded = config::load_file(setup.config_file);
    ASSERT_TRUE(loaded.ok());
    setup.document = loaded.document;
    setup.shared = shared_.get();
    setup.ports = ports_of(setup.document, 2);
    for (unsigned w = 0; w < 2; ++w)
      setup.workers.push_back({w, w + 1, "adaptive", 100, 85, 64, &stats_[w]});
    setup.toeplitz = &toeplitz_;
    setup.runtime_dir = directory_;
    setup.mbufs_in_use = [] { return 5u; };
    setup.mbuf_pool_size = 50;
    setup.reload_patience = patience();
    setup.nic = [](size_t port) { return dataplane::NicCounters{.missed = 100 + port}; };
    setup.link_up = [this](size_t port) {
      if (port == 1) ++link_asked_;
      return port != 1 || back_link_.load();
    };
    auto controller = Controller::create(std::move(setup));
    ASSERT_TRUE(controller.ok()) << controller.error();
    controller_ = std::move(*controller);
    ASSERT_TRUE(controller_->publish_first().ok());
    for (unsigned w = 0; w < 2; ++w)
      workers_.push_back(std::make_unique<FakeWorker>(*shared_, stats_[w], w));
    thread_ = std::thread([this] { status_ = controller_->run(); });
    for (auto& worker : workers_) ASSERT_TRUE(eventually([&] { return worker->serial() == 1; }));
  }
  void TearDown() override {
    controller_->stop(0);
    if (thread_.joinable()) thread_.join();
    workers_.clear();
    controller_.reset();
    EXPECT_FALSE(std::filesystem::exists(directory_ + "/limpet.sock"));
    std::filesystem::remove_all(directory_);
    log_set_level(LogLevel::info);
  }
  void write_file(const std::string& text) { std::ofstream(directory_ + "/limpet.cfg") << text; }
  json ask(const json& request) {
    const console::Reply r = console::ask_daemon(directory_ + "/limpet.sock", request.dump());
    EXPECT_EQ(r.kind, console::Reply::Kind::answered) << r.error;
    return json::parse(r.line, nullptr, false);
  }
  json show(const char* what, const json& more = json::object()) {
    json request = {{"cmd", "show"}, {"what", what}};
    request.update(more);
    const json reply = ask(request);
    EXPECT_EQ(reply["ok"], true) << reply;
    return reply["data"];
  }
  template <class Done>
  bool eventually(Done done) {
    for (int i = 0; i < 20000; ++i) {  // as long as a loaded machine may take
      if (done()) return true;
      std::this_thread::sleep_for(1ms);
    }
    return false;
  }

  std::string directory_, sample_;
  flow::Toeplitz toeplitz_{flow::kDefaultRssKey};
  dataplane::WorkerStats stats_[2] = {{2, 2048, 16}, {2, 2048, 16}};
  std::unique_ptr<dataplane::Shared> shared_;
  std::unique_ptr<Controller> controller_;
  std::vector<std::unique_ptr<FakeWorker>> workers_;
  std::atomic<bool> back_link_{true};  // of port 1
  std::atomic<unsigned> link_asked_{0};
  std::thread thread_;
  std::atomic<int> status_{-1};
};

}  // namespace limpet::control
