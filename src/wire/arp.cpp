#include "limpet/wire/arp.h"

#include <cassert>

#include "emit.h"

namespace limpet::wire {
namespace {

constexpr uint16_t kRequest = 1, kReply = 2;

size_t build(std::span<uint8_t> out, const Link& link, uint16_t operation, const IpAddress& sender,
             const MacAddress& target_mac, const IpAddress& target) {
  assert(sender.is_v4() && target.is_v4());
  if (out.size() < kArpFrame) return 0;
  emit_ethernet(out.data(), link, eth::kArp);
  uint8_t* p = out.data() + eth::kSize;
  store(p + arp::kHardware, be16::from(1));
  store(p + arp::kProtocol, be16::from(eth::kIpv4));
  store(p + arp::kLengths, be16::from(0x0604));
  store(p + arp::kOperation, be16::from(operation));
  store(p + arp::kSenderMac, link.source);
  store(p + arp::kSenderIp, sender.v4_word());
  store(p + arp::kTargetMac, target_mac);
  store(p + arp::kTargetIp, target.v4_word());
  return kArpFrame;
}

}  // namespace

size_t build_arp_request(std::span<uint8_t> out, const MacAddress& mac, const IpAddress& sender,
                         const IpAddress& target, const MacAddress& to) {
  return build(out, {mac, to}, kRequest, sender, MacAddress{}, target);
}

size_t build_arp_reply(std::span<uint8_t> out, const MacAddress& mac, const IpAddress& sender,
                       const MacAddress& target_mac, const IpAddress& target) {
  return build(out, {mac, target_mac}, kReply, sender, target_mac, target);
}

size_t build_arp_announcement(std::span<uint8_t> out, const MacAddress& mac,
                              const IpAddress& address) {
  return build(out, {mac, kBroadcastMac}, kRequest, address, MacAddress{}, address);
}

}  // namespace limpet::wire
