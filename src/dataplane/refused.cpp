#include "limpet/dataplane/refused.h"

namespace limpet::dataplane {

namespace {

constexpr size_t kOwn = http::kRefusalCount + http::kBodyFaultCount;

struct Word {
  const char *name, *text;
};
constexpr Word kWords[] = {
#define LIMPET_DATAPLANE_REFUSED_WORD(name, text) {#name, text},
    LIMPET_DATAPLANE_REFUSED(LIMPET_DATAPLANE_REFUSED_WORD)
#undef LIMPET_DATAPLANE_REFUSED_WORD
};

}  // namespace

const char* refused_name(size_t n) {
  if (n < http::kRefusalCount) return http::refusal_name(static_cast<http::Refusal>(n));
  if (n < kOwn) return http::body_fault_name(static_cast<http::BodyFault>(n - http::kRefusalCount));
  return n < kRefusedCount ? kWords[n - kOwn].name : "?";
}

const char* refused_text(size_t n) {
  if (n < http::kRefusalCount) return http::refusal_text(static_cast<http::Refusal>(n));
  if (n < kOwn) return http::body_fault_text(static_cast<http::BodyFault>(n - http::kRefusalCount));
  return n < kRefusedCount ? kWords[n - kOwn].text : "?";
}

}  // namespace limpet::dataplane
