// Header affinity: the value of a request header -> hash that chooses the backend, as HAProxy's
// `balance hdr()`. Stateless like source affinity (source.h), and its key is constant for the same
// reasons: the same on every node and after every restart. Who chooses the value chooses the
// backend, as whoever may set the header may.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace limpet::affinity {

// What counts of the header's first line: its first element. Elements are separated by commas that
// are not within double quotes, blanks around them are not part of them (HAProxy: the same). Empty:
// the request has no key.
std::string_view header_key(std::string_view value);

// The key as it is kept until a backend is chosen; nullopt when it is empty.
std::optional<uint64_t> hash_key(std::string_view key);
// `seed` of the pool, so that services that share one agree on a key's backend.
uint64_t hash_header(uint64_t seed, uint64_t key);

}  // namespace limpet::affinity
