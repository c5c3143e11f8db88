#include "eal_check.h"

#include <fmt/core.h>

#include <algorithm>
#include <utility>

#include "limpet/port/eal_args.h"
#include "limpet/port/eal_values.h"

namespace limpet::apps {
namespace {

using config::Problem;
using port::EalOption;

bool is_pci(const std::string& device) {  // as config writes it
  return device.size() == 12 && device[4] == ':' && device[7] == ':' && device[10] == '.';
}

// The device of --vdev=NAME,... or -a NAME,..., PCI addresses in config's long form.
std::string device_of(const std::string& value) {
  std::string device = value.substr(0, value.find(','));
  if (device.starts_with("pci:")) device.erase(0, 4);
  std::string lower = device;
  for (char& c : lower)
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c | 0x20);
  if (lower.size() == 7 && lower[2] == ':' && lower[5] == '.') lower.insert(0, "0000:");
  return is_pci(lower) ? lower : device;
}

class Check {
 public:
  Check(const config::Document& document, std::vector<EalOption> options)
      : document_(document), options_(std::move(options)) {}

  std::vector<Problem> all() {
    for (const port::EalFault& fault : port::check_eal_values(options_))
      add(options_[fault.option], fault.text);
    memory();
    for (size_t i = 0; i < document_.ports.size(); ++i) device(i);
    for (size_t i = 0; i < document_.pools.size(); ++i) source_ports(i);
    sort(problems_);
    return std::move(problems_);
  }

 private:
  void add(const EalOption& o, const std::string& text) {
    if (o.configured) {
      const config::Place& at = document_.eal_places[*o.configured];
      problems_.push_back({at.file, at.line, fmt::format("eal[{}]", *o.configured), text});
    } else {
      problems_.push_back({"command line", 0, o.shown, text});
    }
  }

  const EalOption* last(std::string_view name) const {
    const auto found = std::find_if(options_.rbegin(), options_.rend(),
                                    [&](const EalOption& o) { return o.name == name; });
    return found == options_.rend() ? nullptr : &*found;
  }

  // Without hugepages -m is all that there is; with them it is only the beginning.
  void memory() {
    const EalOption* no_huge = last("no-huge");
    if (no_huge == nullptr) return;
    const EalOption* given = last("m");
    uint64_t megabytes = 64;  // the EAL's default
    if (given != nullptr) {
      const auto read = port::read_megabytes(given->value);
      if (!read) return;  // said already
      megabytes = *read;
    }
    uint16_t mtu = 0;
    for (const config::Port& p : document_.ports) mtu = std::max(mtu, p.mtu);
    const uint64_t bytes =
        port::least_memory(std::max(1u, port::worker_count(options_).value_or(1)),
                           document_.ports.size(), document_.capacity.held_packets, mtu);
    const uint64_t least = (bytes + (1 << 20) - 1) >> 20;
    if (megabytes >= least) return;
    add(given == nullptr ? *no_huge : *given,
        fmt::format("{} MB of memory without hugepages; the packet buffers of these ports, workers "
                    "and capacity.held_packets alone take {} MB; expected \"-m\" above that",
                    megabytes, least));
  }

  void device(size_t index) {
    const config::Port& p = document_.ports[index];
    if (is_pci(p.device)) {
      pci(index);
    } else if (p.device.starts_with("net_") && !document_.eal.empty() && !is_created(p.device)) {
      about_device(index, fmt::format("no EAL argument creates \"{}\"; expected \"--vdev={},...\" "
                                      "in `eal`",
                                      p.device, p.device));
    }
  }

  // --vdev=NAME,... or, for the EAL the same, -a NAME,...
  bool is_created(const std::string& device) const {
    return std::any_of(options_.begin(), options_.end(), [&](const EalOption& o) {
      return (o.name == "vdev" || o.name == "a") && device_of(o.value) == device;
    });
  }

  void pci(size_t index) {
    const std::string& device = document_.ports[index].device;
    bool allowed_any = false, allowed = false, blocked = false;
    for (const EalOption& o : options_) {
      const std::string named = o.name == "a" || o.name == "b" ? device_of(o.value) : "";
      if (!is_pci(named)) continue;
      allowed_any |= o.name == "a";
      allowed |= o.name == "a" && named == device;
      blocked |= o.name == "b" && named == device;
    }
    if (last("no-pci") != nullptr)
      about_device(index, fmt::format("\"{}\" is a PCI device, and the EAL runs with --no-pci; "
                                      "expected that option to be left out",
                                      device));
    else if (blocked)
      about_device(index, fmt::format("-b keeps \"{}\" from the EAL; expected that option to be "
                                      "left out",
                                      device));
    else if (allowed_any && !allowed)
      about_device(index, fmt::format("\"{}\" is not among the PCI devices of -a; expected \"-a\", "
                                      "\"{}\" in `eal`",
                                      device, device));
  }

  void about_device(size_t index, std::string text) {
    const config::Place& at = document_.ports[index].device_place;
    problems_.push_back(
        {at.file, at.line, fmt::format("ports[{}].device", index), std::move(text)});
  }

  // Whose answers reach which worker is up to a hash with a key of this start. Keys are chosen such
  // that of 8 ports for each worker all have some (port/rss_key.h); of fewer, perhaps not.
  void source_ports(size_t index) {
    constexpr unsigned kLeastEach = 8;
    const config::Pool& pool = document_.pools[index];
    const unsigned workers = port::worker_count(options_).value_or(1);
    if (workers < 2 || pool.source_ports_place.line == 0) return;
    size_t sources = pool.source_addresses.size();
    for (const config::Backend& b : pool.backends) sources = std::min(sources, b.sources.size());
    if (sources == 0) return;  // not known
    const size_t range = pool.source_port_last - pool.source_port_first + size_t{1};
    const size_t least = (size_t{kLeastEach} * workers + sources - 1) / sources;
    if (range >= least) return;
    const config::Place& at = pool.source_ports_place;
    problems_.push_back(
        {at.file, at.line, fmt::format("pools[{}].source_ports", index),
         fmt::format(
             "{} port{} of {} source address{} for {} workers, each of which needs ports of "
             "its own; expected at least {}",
             range, range == 1 ? "" : "s", sources, sources == 1 ? "" : "es", workers, least)});
  }

  const config::Document& document_;
  std::vector<EalOption> options_;
  std::vector<Problem> problems_;
};

}  // namespace

std::vector<Problem> check_eal(const config::Document& document,
                               const std::vector<std::string>& given) {
  return Check(document, port::merge_eal_options(document.eal, given)).all();
}

}  // namespace limpet::apps
