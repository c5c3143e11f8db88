// A host of the simulated network: an address with listeners and connections. Finds the endpoint
// of each frame, resets what belongs to nobody (RFC 9293, 3.10.7.1) and lets a new SYN follow a
// connection in TIME_WAIT.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "endpoint.h"

namespace limpet::sim {

class Host {
 public:
  // A connection: the endpoint, and the app if the listener made one for it.
  struct Connection {
    std::unique_ptr<App> owned;
    std::unique_ptr<Endpoint> endpoint;
  };
  struct Accepted {
    EndpointOptions options;  // addresses and ports are filled in
    std::unique_ptr<App> app;
  };
  using Listener = std::function<Accepted(const Segment& syn)>;

  Host(std::string called, const IpAddress& at, const MacAddress& own, const MacAddress& via)
      : name(std::move(called)), address(at), mac(own), gateway(via) {}

  // The app stays the caller's. Local address and MACs are filled in.
  Endpoint& connect(EndpointOptions options, App& app, Instant now);
  void listen(uint16_t port, Listener listener) { listeners_[port] = std::move(listener); }
  void close_listener(uint16_t port) { listeners_.erase(port); }

  void on_frame(std::span<const uint8_t> frame, Instant now);
  void on_timer(Instant now);
  Instant next_timer() const;
  std::vector<Bytes> take();

  // All connections that ever were, in the order of opening.
  const std::vector<Connection>& connections() const { return connections_; }
  Endpoint* find(uint16_t local_port, const IpAddress& remote, uint16_t remote_port) const;
  // A process that dies: its connections are forgotten without a word; what comes gets a RST.
  void forget_connections() { live_.clear(); }

  Counts counts() const;  // of all connections and of the host itself
  std::vector<std::string> violations() const;

  const std::string name;
  const IpAddress address;
  const MacAddress mac;
  const MacAddress gateway;
  bool answers_strangers = true;  // with RST
  bool corruption = false;        // wrong checksums are expected

 private:
  struct Key {
    uint16_t local_port;
    IpAddress remote;
    uint16_t remote_port;
    auto operator<=>(const Key&) const = default;
  };
  void on_tcp(const Segment& s, Instant now);
  void refuse(const Segment& s);
  Endpoint& add(const Key& key, EndpointOptions options, App& app, std::unique_ptr<App> owned);

  std::map<Key, Endpoint*> live_;
  std::map<uint16_t, Listener> listeners_;
  std::vector<Connection> connections_;
  std::vector<Bytes> out_;
  Counts counts_;
  std::vector<std::string> violations_;
};

}  // namespace limpet::sim
