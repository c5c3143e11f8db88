// The ids that cookies and stick entries carry instead of a backend's name: 24 bits of a hash of
// the name, the same on every node and after every restart. Compiled from a pool's list by the
// control thread, immutable in a snapshot, read by every worker.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace limpet::affinity {

constexpr unsigned kBackendIdBits = 24;
constexpr uint32_t kBackendIdMask = (1u << kBackendIdBits) - 1;

// The hash key is constant: an outsider who knows it learns nothing, as ids never leave unsealed.
uint32_t backend_id(std::string_view name);

// Two different names of the list with one id (their positions, the smaller first); such a pool
// cannot have cookies and `--check` refuses it, asking for one of the two to be renamed. 100
// backends meet it once in 3,400 pools. Allocates; for the control thread.
std::optional<std::pair<size_t, size_t>> find_id_collision(std::span<const std::string> names);

// Id or cookie value -> members of the pool, in the order of the configuration. One cookie value
// may be shared by several members, as in HAProxy; names that only share an id are told apart where
// the value is at hand (plain cookies), and must not exist where it is not.
class BackendIds {
 public:
  struct Entry {
    uint32_t id = 0;
    uint16_t member = 0;  // index in the pool, as in Maglev's member list
  };
  static constexpr size_t kMaxMembers = 65535;

  BackendIds() = default;
  explicit BackendIds(std::vector<std::string> names);  // by member index

  std::span<const Entry> find(uint32_t id) const;  // ascending by member; empty when unknown
  std::string_view name(uint16_t member) const { return names_[member]; }
  uint32_t id(uint16_t member) const { return ids_[member]; }
  size_t size() const { return names_.size(); }

 private:
  std::vector<Entry> entries_;      // sorted by id, then member
  std::vector<std::string> names_;  // by member
  std::vector<uint32_t> ids_;       // by member
};

}  // namespace limpet::affinity
