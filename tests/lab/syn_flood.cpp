// SYNs from random addresses, 150,000 a second at most, 64 at a time:
//   syn_flood INTERFACE OUR-MAC THEIR-MAC VIP PORT SECONDS
// Prints how many were sent and how many seconds that took.
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "raw.h"

namespace {

using raw::checksum;
using raw::sum;

struct Tcp {
  tcphdr header{};
  std::array<uint8_t, 4> mss{2, 4, 1460 >> 8, 1460 & 0xff};
};
static_assert(sizeof(Tcp) == 24);

std::mt19937_64 random64{std::random_device{}()};

// One frame, with a source address and port of its own.
size_t frame(std::array<uint8_t, 96>& out, const in6_addr& vip, bool v6, uint16_t port) {
  Tcp tcp;
  const uint64_t r = random64();
  tcp.header.source = htons(static_cast<uint16_t>(1024 + (r & 0x7fff)));
  tcp.header.dest = htons(port);
  tcp.header.seq = static_cast<uint32_t>(r >> 16);
  tcp.header.doff = sizeof(Tcp) / 4;
  tcp.header.syn = 1;
  tcp.header.window = htons(64240);
  uint8_t* at = out.data() + ETHER_HDR_LEN;
  uint32_t pseudo = IPPROTO_TCP + sizeof(Tcp);
  size_t size = 0;
  if (v6) {
    ip6_hdr ip{};
    ip.ip6_flow = htonl(6u << 28);
    ip.ip6_plen = htons(sizeof(Tcp));
    ip.ip6_nxt = IPPROTO_TCP;
    ip.ip6_hlim = 64;
    const std::array<uint64_t, 2> address{random64(), random64()};
    std::memcpy(&ip.ip6_src, address.data(), 16);
    ip.ip6_src.s6_addr[0] = 0x20;
    ip.ip6_dst = vip;
    pseudo = sum(&ip.ip6_src, 32, pseudo);
    std::memcpy(at, &ip, size = sizeof ip);
  } else {
    iphdr ip{};
    ip.version = 4;
    ip.ihl = 5;
    ip.tot_len = htons(sizeof ip + sizeof(Tcp));
    ip.ttl = 64;
    ip.protocol = IPPROTO_TCP;
    // 11.0.0.0 to 74.255.255.255: all of them unicast, none of the lab's.
    ip.saddr =
        htonl(static_cast<uint32_t>((11 + ((r >> 48) & 63)) << 24 | (random64() & 0xffffff)));
    std::memcpy(&ip.daddr, &vip, 4);
    ip.check = checksum(sum(&ip, sizeof ip));
    pseudo = sum(&ip.saddr, 8, pseudo);
    std::memcpy(at, &ip, size = sizeof ip);
  }
  tcp.header.check = checksum(sum(&tcp, sizeof tcp, pseudo));
  std::memcpy(at + size, &tcp, sizeof tcp);
  return ETHER_HDR_LEN + size + sizeof tcp;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const int s = raw::open(argv[1], SOCK_RAW, 0);
  if (s < 0) return 1;
  in6_addr vip{};
  const bool v6 = std::strchr(argv[4], ':') != nullptr;
  if (inet_pton(v6 ? AF_INET6 : AF_INET, argv[4], &vip) != 1) return 2;
  const auto port = static_cast<uint16_t>(std::stoi(argv[5]));

  constexpr unsigned kBatch = 64;
  std::vector<std::array<uint8_t, 96>> frames(kBatch);
  std::array<iovec, kBatch> pieces{};
  std::array<mmsghdr, kBatch> messages{};
  for (unsigned i = 0; i < kBatch; ++i) {
    raw::mac(argv[3], frames[i].data());
    raw::mac(argv[2], frames[i].data() + 6);
    const uint16_t type = htons(v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
    std::memcpy(frames[i].data() + 12, &type, 2);
    pieces[i].iov_base = frames[i].data();
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const auto end =
      start + std::chrono::milliseconds(static_cast<int64_t>(1000 * std::stod(argv[6])));
  unsigned long sent = 0;
  // More would leave limpet, which shares two processors with it, nothing to answer with.
  constexpr double kMostASecond = 150000;
  for (auto now = start; now < end; now = Clock::now()) {
    if (static_cast<double>(sent) >
        kMostASecond * std::chrono::duration<double>(now - start).count()) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
      continue;
    }
    for (unsigned i = 0; i < kBatch; ++i) pieces[i].iov_len = frame(frames[i], vip, v6, port);
    const int n = sendmmsg(s, messages.data(), kBatch, 0);
    if (n > 0) sent += static_cast<unsigned long>(n);
  }
  printf("{\"sent\": %lu, \"seconds\": %.3f}\n", sent,
         std::chrono::duration<double>(Clock::now() - start).count());
}
