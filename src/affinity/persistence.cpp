#include "limpet/affinity/persistence.h"

namespace limpet::affinity {

namespace {

struct Words {
  const char* name;
  char letter;
  const char* text;
};

#define LIMPET_FLAG_WORDS(name, letter, text) {#name, letter, text},
#define LIMPET_DETAIL_WORDS(name, text) {#name, ' ', text},
constexpr Words kRequest[] = {LIMPET_REQUEST_FLAGS(LIMPET_FLAG_WORDS)};
constexpr Words kResponse[] = {LIMPET_RESPONSE_FLAGS(LIMPET_FLAG_WORDS)};
constexpr Words kDetail[] = {LIMPET_INVALID_DETAILS(LIMPET_DETAIL_WORDS)};
#undef LIMPET_FLAG_WORDS
#undef LIMPET_DETAIL_WORDS

template <size_t N, class E>
const Words& words(const Words (&table)[N], E value) {
  static constexpr Words kUnknown = {"?", '?', "?"};
  const auto i = static_cast<size_t>(value);
  return i < N ? table[i] : kUnknown;
}

}  // namespace

const char* name(RequestFlag f) {
  return words(kRequest, f).name;
}
const char* name(ResponseFlag f) {
  return words(kResponse, f).name;
}
const char* name(InvalidDetail d) {
  return words(kDetail, d).name;
}
char letter(RequestFlag f) {
  return words(kRequest, f).letter;
}
char letter(ResponseFlag f) {
  return words(kResponse, f).letter;
}
const char* text(RequestFlag f) {
  return words(kRequest, f).text;
}
const char* text(ResponseFlag f) {
  return words(kResponse, f).text;
}
const char* text(InvalidDetail d) {
  return words(kDetail, d).text;
}

}  // namespace limpet::affinity
