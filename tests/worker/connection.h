// One connection through the rig as its two ends see it: what each sends, and exactly what must
// arrive at the other. The full NAT of the test's own, to hold the product's against.
#pragma once

#include <string>

#include "rig.h"

namespace limpet::worker_test {

class Connection {
 public:
  IpAddress client, vip, source, backend;
  uint16_t client_port, vip_port, source_port = 0, backend_port = 0;

  Connection(Rig& rig, const IpAddress& from, uint16_t from_port, const IpAddress& to,
             uint16_t to_port, uint8_t protocol = kTcp)
      : client(from),
        vip(to),
        client_port(from_port),
        vip_port(to_port),
        rig_(rig),
        protocol_(protocol) {}

  // Opens with a SYN, or with a datagram, and learns from what leaves who the backend is.
  Connection& open(const Tcp& syn = {.flags = kSyn, .seq = 1000, .options = syn_options()},
                   const Bytes& datagram = bytes_of("hello"));
  // The whole handshake: client 1000 -> 1001, backend 5000 -> 5001.
  Connection& establish();

  // Frames on the wire, IP fields as `shape` says (addresses are filled in).
  Bytes from_client(const Tcp& t, Ip shape = {}) const {
    return frame(rig_.to_us(client), client, client_port, vip, vip_port, t, shape);
  }
  Bytes at_backend(const Tcp& t, Ip shape = {}) const {
    --shape.ttl;
    return frame(rig_.from_us(backend), source, source_port, backend, backend_port, t, shape);
  }
  Bytes from_backend(const Tcp& t, Ip shape = {}) const {
    return frame(rig_.to_us(backend), backend, backend_port, source, source_port, t, shape);
  }
  Bytes at_client(const Tcp& t, Ip shape = {}) const {
    --shape.ttl;
    return frame(rig_.from_us(client), vip, vip_port, client, client_port, t, shape);
  }
  // A reset of limpet's own at either end.
  Bytes reset_at_client(uint32_t seq) const;
  Bytes reset_at_backend(uint32_t seq) const;

  // One step of a script: sends, and expects exactly the translated segment at the other end.
  void client_says(const std::string& what, const Tcp& t, const Ip& shape = {}) {
    EXPECT_TRUE(is(rig_.send(rig_.port_towards(client), from_client(t, shape)),
                   rig_.port_towards(backend), at_backend(t, shape)))
        << what << "; drops: " << rig_.drop_list();
  }
  void backend_says(const std::string& what, const Tcp& t, const Ip& shape = {}) {
    EXPECT_TRUE(is(rig_.send(rig_.port_towards(backend), from_backend(t, shape)),
                   rig_.port_towards(client), at_client(t, shape)))
        << what << "; drops: " << rig_.drop_list();
  }
  uint16_t front() const { return rig_.port_towards(client); }
  uint16_t back() const { return rig_.port_towards(backend); }
  uint16_t slot() const { return rig_.backend_at(backend, backend_port); }

  // MSS 1460, SACK permitted, timestamps, scale 7: as Linux sends.
  static Bytes syn_options() {
    return {2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0x11, 0x22, 0x33, 0, 0, 0, 0, 1, 3, 3, 7};
  }

 private:
  Bytes frame(const Link& link, const IpAddress& from, uint16_t from_port, const IpAddress& to,
              uint16_t to_port, const Tcp& t, Ip shape) const {
    shape.from = from;
    shape.to = to;
    return protocol_ == kTcp ? tcp_frame(link, shape, from_port, to_port, t)
                             : udp_frame(link, shape, from_port, to_port, t.data);
  }

  Rig& rig_;
  uint8_t protocol_;
};

inline Connection& Connection::open(const Tcp& syn, const Bytes& datagram) {
  const Tcp first = protocol_ == kTcp ? syn : Tcp{.data = datagram};
  const std::vector<Left> out = rig_.send(rig_.port_towards(client), from_client(first));
  if (out.size() != 1) {
    ADD_FAILURE() << "opening " << client.to_string() << ":" << client_port << " sent "
                  << out.size() << " frames; drops: " << rig_.drop_list();
    return *this;
  }
  const Seen s = look(out[0].frame);
  source = s.from;
  source_port = s.from_port;
  backend = s.to;
  backend_port = s.to_port;
  EXPECT_NE(rig_.backend_at(backend, backend_port), dataplane::kNoSlot) << describe(out[0].frame);
  EXPECT_GE(source_port, 1024);
  EXPECT_TRUE(is(out, rig_.port_towards(backend), at_backend(first))) << "opening";
  return *this;
}

inline Connection& Connection::establish() {
  open();
  backend_says("SYN-ACK",
               {.flags = kSyn | kAck, .seq = 5000, .ack = 1001, .options = syn_options()});
  client_says("ACK of the handshake", {.flags = kAck, .seq = 1001, .ack = 5001});
  return *this;
}

inline Bytes Connection::reset_at_client(uint32_t seq) const {
  return tcp_frame(rig_.from_us(client), {.from = vip, .to = client}, vip_port, client_port,
                   {.flags = kRst, .seq = seq, .window = 0});
}

inline Bytes Connection::reset_at_backend(uint32_t seq) const {
  return tcp_frame(rig_.from_us(backend), {.from = source, .to = backend}, source_port,
                   backend_port, {.flags = kRst, .seq = seq, .window = 0});
}

}  // namespace limpet::worker_test
