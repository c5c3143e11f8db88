// The model endpoint against this machine's kernel, once, so that both can be believed: over a TAP
// in a network namespace of the test's own, in real time, with losses in the pump both ways. Both
// streams must arrive, and the checker may find nothing wrong with Linux.
//
// Needs root and /dev/net/tun; without them exit status 77.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "host.h"
#include "pattern_app.h"

namespace {

using namespace limpet;
using namespace limpet::sim;

constexpr size_t kTotal = 2'000'000;
constexpr uint64_t kFromModel = 11, kFromKernel = 12;
constexpr uint16_t kPort = 8080;
constexpr MacAddress kModelMac{{2, 0, 0, 0, 0, 2}};
constexpr MacAddress kKernelMac{{2, 0, 0, 0, 0, 1}};

struct Case {
  std::string name;
  bool active = true;  // the model connects
  bool v6 = false;
  std::string off;     // a net.ipv4 switch of the kernel that is off
  unsigned loss = 20;  // per mille, each way
  std::function<void(EndpointOptions&)> change = [](EndpointOptions&) {};
};

bool shell(const std::string& command) {
  return std::system(command.c_str()) == 0;
}

void set_switch(const std::string& name, const std::string& value) {
  std::ofstream("/proc/sys/net/ipv4/" + name) << value;
}

int open_tap() {
  const int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
  if (fd < 0) return -1;
  ifreq request{};
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  std::strcpy(request.ifr_name, "tap0");
  if (ioctl(fd, TUNSETIFF, &request) != 0) {
    close(fd);
    return -1;
  }
  const std::string model = kModelMac.to_string();
  const bool up = shell("ip link set lo up && ip link set tap0 address " + kKernelMac.to_string() +
                        " && ip addr add 10.77.0.1/24 dev tap0"
                        " && ip -6 addr add fd77::1/64 dev tap0 nodad && ip link set tap0 up"
                        " && ip neigh replace 10.77.0.2 lladdr " +
                        model +
                        " dev tap0 nud permanent"
                        " && ip -6 neigh replace fd77::2 lladdr " +
                        model + " dev tap0 nud permanent");
  if (up) return fd;
  close(fd);
  return -1;
}

IpAddress address(bool v6, bool model) {
  if (v6) return *IpAddress::parse(model ? "fd77::2" : "fd77::1");
  return IpAddress::v4(10, 77, 0, model ? 2 : 1);
}

struct Socket {
  sockaddr_storage storage{};
  socklen_t length = 0;
  Socket(const IpAddress& a, uint16_t port) {
    if (a.is_v4()) {
      auto& in = reinterpret_cast<sockaddr_in&>(storage);
      in.sin_family = AF_INET;
      in.sin_port = htons(port);
      std::memcpy(&in.sin_addr, a.v4_bytes(), 4);
      length = sizeof in;
    } else {
      auto& in = reinterpret_cast<sockaddr_in6&>(storage);
      in.sin6_family = AF_INET6;
      in.sin6_port = htons(port);
      std::memcpy(&in.sin6_addr, a.bytes.data(), 16);
      length = sizeof in;
    }
  }
  sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
};

// The kernel's end, in a thread: sends its stream and half-closes, compares what it reads.
class KernelEnd {
 public:
  KernelEnd(const Case& c) : v6_(c.v6) {
    if (c.active) {
      listener_ = socket(v6_ ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
      const int one = 1;
      setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
      Socket here(address(v6_, false), kPort);
      if (bind(listener_, here.get(), here.length) != 0 || listen(listener_, 5) != 0) {
        error_ = std::string("listen: ") + std::strerror(errno);
        over = true;
        return;
      }
    }
    thread_ = std::thread([this] {
      error_ = play();
      over = true;
    });
  }
  ~KernelEnd() {
    if (thread_.joinable()) thread_.join();
    if (listener_ >= 0) close(listener_);
  }
  std::string error() {
    if (thread_.joinable()) thread_.join();
    return error_;
  }
  std::atomic<bool> over = false, stop = false;

 private:
  std::string play() {
    int fd = -1;
    if (listener_ >= 0) {
      pollfd p{listener_, POLLIN, 0};
      while (poll(&p, 1, 50) == 0) {
        if (stop) return "nobody connected";
      }
      fd = accept(listener_, nullptr, nullptr);
    } else {
      fd = socket(v6_ ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
      Socket there(address(v6_, true), kPort);
      if (connect(fd, there.get(), there.length) != 0) {
        close(fd);
        return std::string("connect: ") + std::strerror(errno);
      }
    }
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    const std::string result = exchange(fd);
    close(fd);
    return result;
  }

  std::string exchange(int fd) {
    size_t sent = 0, got = 0;
    bool finished = false;
    Bytes buffer(65536), expected(65536);
    while (sent < kTotal || !finished) {
      if (stop) return fmt::format("given up: sent {}, received {}", sent, got);
      pollfd p{fd, static_cast<short>(POLLIN | (sent < kTotal ? POLLOUT : 0)), 0};
      poll(&p, 1, 50);
      if ((p.revents & POLLOUT) != 0) {
        const size_t n = std::min(buffer.size(), kTotal - sent);
        fill_stream(kFromKernel, sent, {buffer.data(), n});
        const ssize_t done = send(fd, buffer.data(), n, MSG_NOSIGNAL);
        if (done < 0 && errno != EAGAIN) return std::string("send: ") + std::strerror(errno);
        sent += done > 0 ? static_cast<size_t>(done) : 0;
        if (sent == kTotal) shutdown(fd, SHUT_WR);
      }
      if ((p.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
        const ssize_t n = recv(fd, buffer.data(), buffer.size(), 0);
        if (n < 0 && errno != EAGAIN) return std::string("recv: ") + std::strerror(errno);
        if (n == 0) finished = true;
        if (n > 0) {
          const auto octets = static_cast<size_t>(n);
          fill_stream(kFromModel, got, {expected.data(), octets});
          if (std::memcmp(buffer.data(), expected.data(), octets) != 0) {
            return fmt::format("octets differ from {} on", got);
          }
          got += octets;
        }
      }
    }
    return got == kTotal ? "" : fmt::format("received {} octets", got);
  }

  bool v6_;
  int listener_ = -1;
  std::thread thread_;
  std::string error_;
};

uint64_t bad_checksums() {  // the kernel's count
  std::ifstream file("/proc/net/snmp");
  std::string names, values;
  while (std::getline(file, names) && std::getline(file, values)) {
    if (names.rfind("Tcp:", 0) != 0) continue;
    std::istringstream n(names), v(values);
    std::string name, value;
    while (n >> name && v >> value) {
      if (name == "InCsumErrors") return std::stoull(value);
    }
  }
  return ~uint64_t{0};
}

class Pump {
 public:
  Pump(int tap, Host& host, unsigned loss) : tap_(tap), host_(host), loss_(loss) {}

  static Instant now() {
    return {static_cast<uint64_t>(
        std::chrono::duration_cast<Duration>(std::chrono::steady_clock::now().time_since_epoch())
            .count())};
  }
  void turn() {
    const Instant before = now();
    const Instant due = std::min(host_.next_timer(), before + 20ms);
    const auto wait = std::max<int64_t>(0, due.ns > before.ns ? (due - before) / 1us : 0);
    pollfd p{tap_, POLLIN, 0};
    const timespec timeout{0, std::min<long>(wait, 20000) * 1000};
    ppoll(&p, 1, &timeout, nullptr);
    uint8_t frame[20000];
    for (int i = 0; i < 64; ++i) {
      const ssize_t n = read(tap_, frame, sizeof frame);
      if (n <= 0) break;
      if (random_.chance(loss_, 1000)) continue;
      host_.on_frame({frame, static_cast<size_t>(n)}, now());
      send();
    }
    host_.on_timer(now());
    send();
  }
  void send() {
    for (const Bytes& frame : host_.take()) {
      if (random_.chance(loss_, 1000)) continue;
      if (loss_ > 0 && random_.chance(5, 1000)) {  // overtaken by the next
        late_.push_back(frame);
        continue;
      }
      write_frame(frame);
      for (const Bytes& l : std::exchange(late_, {})) write_frame(l);
    }
  }

 private:
  void write_frame(const Bytes& frame) {
    if (write(tap_, frame.data(), frame.size()) < 0) ++failed_;
  }

  int tap_;
  Host& host_;
  unsigned loss_;
  Random random_{5};
  std::vector<Bytes> late_;
  unsigned failed_ = 0;
};

bool play(const Case& c, int tap) {
  for (const char* name : {"tcp_timestamps", "tcp_sack", "tcp_window_scaling"}) {
    set_switch(name, c.off == name ? "0" : "1");
  }
  Host host("model", address(c.v6, true), kModelMac, kKernelMac);
  Pump pump(tap, host, c.loss);
  EndpointOptions options;
  options.timestamp_start = 0x80000000u;
  options.isn = 0xfffffff0u;
  options.mss = c.v6 ? 1440 : 1460;
  options.receive_buffer = 200000;
  options.check.in_order = true;  // the TAP is a queue
  options.check.data_probes = false;
  options.check.no_window_at_the_end = true;
  c.change(options);
  PatternOptions pattern;
  pattern.sends = kFromModel;
  pattern.expects = kFromKernel;
  pattern.total = pattern.awaits = kTotal;
  pattern.close = PatternOptions::Close::when_received;

  KernelEnd kernel(c);
  PatternApp ours(pattern);
  PatternApp* app = &ours;
  if (c.active) {
    options.remote = address(c.v6, false);
    options.remote_port = kPort;
    static uint16_t port = 30000;
    options.local_port = ++port;
    host.connect(options, ours, Pump::now());
    pump.send();
  } else {
    host.listen(kPort, [&](const Segment&) {
      auto made = std::make_unique<PatternApp>(pattern);
      app = made.get();
      return Host::Accepted{options, std::move(made)};
    });
  }
  const auto start = Pump::now();
  const auto done = [&] {
    return kernel.over && !host.connections().empty() && host.connections().back().endpoint->done();
  };
  while (!done() && Pump::now() - start < 60s) pump.turn();
  kernel.stop = true;
  const std::string error = kernel.error();
  const double took = static_cast<double>((Pump::now() - start).count()) / 1e9;

  std::vector<std::string> failures = host.violations();
  if (!error.empty()) failures.push_back("kernel: " + error);
  if (!app->complete()) failures.push_back("model: " + app->describe());
  if (!app->difference().empty()) failures.push_back("model: " + app->difference());
  if (bad_checksums() != 0) failures.push_back("the kernel counts wrong checksums");
  const Counts counts = host.counts();
  fmt::print(
      "{} {} ({:.1f} s): {} segments sent, {} again, {} by duplicates, {} time-outs, {} SACK "
      "blocks received, {} sent, D-SACKs {} and {}, {} PAWS drops, {} zero windows, {} "
      "probes\n",
      failures.empty() ? "ok  " : "FAIL", c.name, took, counts.segments_sent,
      counts.retransmissions, counts.fast_retransmits, counts.rtos, counts.sack_blocks_received,
      counts.sack_blocks_sent, counts.dsacks_received, counts.dsacks_sent, counts.paws_drops,
      counts.zero_windows, counts.persist_probes);
  for (const std::string& text : failures) fmt::print("    {}\n", text);
  if (!failures.empty() && !host.connections().empty()) {
    fmt::print("    {}\n", host.connections().back().endpoint->describe());
  }
  std::fflush(stdout);
  return failures.empty();
}

std::vector<Case> cases() {
  return {
      {"connect, no loss", true, false, "", 0},
      {"connect", true, false, ""},
      {"accept", false, false, ""},
      {"connect, timestamps off at the kernel", true, false, "tcp_timestamps"},
      {"accept, timestamps off at the kernel", false, false, "tcp_timestamps"},
      {"accept, timestamps off at the model", false, false, "", 20,
       [](EndpointOptions& o) { o.timestamps = false; }},
      {"connect, SACK off", true, false, "tcp_sack"},
      {"accept, window scaling off", false, false, "tcp_window_scaling"},
      {"connect, IPv6, MTU 1280", true, true, "", 20,
       [](EndpointOptions& o) {
         o.mtu = 1280;
         o.mss = 1220;
       }},
      {"accept, IPv6", false, true, ""},
      {"connect, a slow reader with 6000 octets of buffer", true, false, "", 5,
       [](EndpointOptions& o) {
         o.receive_buffer = 6000;
         o.scale = 3;
         o.read_every = 2ms;
         o.read_chunk = 3000;
       }},
  };
}

}  // namespace

int main(int argc, char** argv) {
  if (geteuid() != 0 || unshare(CLONE_NEWNET) != 0) {
    fmt::print("SKIP: needs root, for a network namespace\n");
    return 77;
  }
  const int tap = open_tap();
  if (tap < 0) {
    fmt::print("SKIP: no TAP: /dev/net/tun and iproute2 are needed\n");
    return 77;
  }
  set_switch("tcp_congestion_control", "cubic");
  bool good = true;
  for (const Case& c : cases()) {
    if (argc > 1 && c.name.find(argv[1]) == std::string::npos) continue;
    good &= play(c, tap);
  }
  close(tap);
  return good ? 0 : 1;
}
