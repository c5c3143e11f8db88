#include "limpet/affinity/persistence.h"

namespace limpet::affinity {

namespace {

#define LIMPET_FLAG_NAME(name, letter) #name,
#define LIMPET_FLAG_LETTER(name, letter) letter,
#define LIMPET_NAME(name) #name,
constexpr const char* kRequest[] = {LIMPET_REQUEST_FLAGS(LIMPET_FLAG_NAME)};
constexpr char kRequestLetters[] = {LIMPET_REQUEST_FLAGS(LIMPET_FLAG_LETTER)};
constexpr const char* kResponse[] = {LIMPET_RESPONSE_FLAGS(LIMPET_NAME)};
constexpr const char* kDetail[] = {LIMPET_INVALID_DETAILS(LIMPET_NAME)};
#undef LIMPET_FLAG_NAME
#undef LIMPET_FLAG_LETTER
#undef LIMPET_NAME

template <class T, size_t N, class E>
T word(const T (&table)[N], E value, T unknown) {
  const auto i = static_cast<size_t>(value);
  return i < N ? table[i] : unknown;
}

}  // namespace

const char* name(RequestFlag f) {
  return word(kRequest, f, "?");
}
const char* name(ResponseFlag f) {
  return word(kResponse, f, "?");
}
const char* name(InvalidDetail d) {
  return word(kDetail, d, "?");
}
char letter(RequestFlag f) {
  return word(kRequestLetters, f, '?');
}

}  // namespace limpet::affinity
