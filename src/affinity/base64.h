// The two alphabets of base64 (RFC 4648, 4 and 5) as tables, for values of fixed width.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace limpet::affinity {

constexpr std::string_view kBase64Standard =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::string_view kBase64Url =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

// Character -> its value, -1 for one that is not in the alphabet.
constexpr std::array<int16_t, 256> reverse_of(std::string_view alphabet) {
  std::array<int16_t, 256> r{};
  for (auto& v : r) v = -1;
  for (size_t i = 0; i < alphabet.size(); ++i)
    r[static_cast<uint8_t>(alphabet[i])] = static_cast<int16_t>(i);
  return r;
}
inline constexpr auto kStandardValue = reverse_of(kBase64Standard);
inline constexpr auto kUrlValue = reverse_of(kBase64Url);

constexpr int url_value(char c) {
  return kUrlValue[static_cast<uint8_t>(c)];
}

}  // namespace limpet::affinity
