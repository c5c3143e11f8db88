// The product between the simulated hosts: a whole worker, with its configuration built as the
// product builds it, on the rig of tests/worker. The client calls a VIP, the server is a backend.
// A second backend, `dead`, is played by the box: it resets, or says nothing.
#pragma once

#include "../worker/rig.h"
#include "middlebox.h"
#include "packet.h"
#include "scenario.h"
#include "timestamp_watch.h"

namespace limpet::sim {

struct WorkerBoxOptions {
  bool v6 = false;
  uint64_t seed = 0;
  std::string service;  // settings of the service besides name, vip, port, protocol, mode, pool
  uint16_t front_mtu = 1500, back_mtu = 1500;
  bool dead_answers = true;  // with a reset; else not at all
  bool dead = true;          // it is in the pool
  // How often the configuration is read again, each time with another limits.head_bytes: all rules
  // are new then, and say the same. At most as many as are kept.
  unsigned reloads = 0;
  bool crowd = false;  // others' SYNs have taken the places of half-open clients: cookies are given
  const char* connect = "60s";
  const char* mode = "splice";
  std::string timeouts =  // behind connect: by default nothing ends by them
      R"(idle = "2h"; response = "2h"; keep_alive = "2h"; tunnel = "2h"; half_closed = "2h";)";
  Duration start = std::chrono::hours(1);  // of the worker's clock; epochs of 100 s begin there
  affinity::CookieKeys keys;
  uint64_t (*unix_time)() = nullptr;
};

class WorkerBox : public Middlebox {
 public:
  explicit WorkerBox(const WorkerBoxOptions& options);

  std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant now) override;
  std::optional<Instant> next_timer() const override;
  std::vector<Frame> on_timer(Instant now) override;
  bool judges() const override { return true; }

  static IpAddress vip(bool v6);
  // Lets every flow end; what is left afterwards, as text: nothing may be.
  std::string leaks();

  worker_test::Rig& rig() { return rig_; }
  std::string config() const;
  unsigned dead_syns = 0;
  unsigned dead_resets = 0;
  unsigned logged = 0;  // lines of the log
  Segment dead_syn;     // the last one; its data means nothing

 private:
  std::vector<Frame> collect();
  void crowd();
  std::string log_faults();
  void reload();
  bool at_dead(const worker_test::Left& left);

  WorkerBoxOptions options_;
  worker_test::Rig rig_;
  Instant base_;
  Instant turned_;
  TimestampWatch watch_;
  std::string larger_;  // than its port takes
  unsigned frames_ = 0, reloaded_ = 0;
};

}  // namespace limpet::sim
