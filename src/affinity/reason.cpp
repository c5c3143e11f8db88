#include "limpet/affinity/reason.h"

namespace limpet::affinity {

const char* reason_name(Reason r) {
  switch (r) {
#define LIMPET_REASON_NAME(name, text) \
  case Reason::name:                   \
    return #name;
    LIMPET_REASONS(LIMPET_REASON_NAME)
#undef LIMPET_REASON_NAME
    case Reason::count_:
      break;
  }
  return "?";
}

const char* reason_text(Reason r) {
  switch (r) {
#define LIMPET_REASON_TEXT(name, text) \
  case Reason::name:                   \
    return text;
    LIMPET_REASONS(LIMPET_REASON_TEXT)
#undef LIMPET_REASON_TEXT
    case Reason::count_:
      break;
  }
  return "?";
}

}  // namespace limpet::affinity
