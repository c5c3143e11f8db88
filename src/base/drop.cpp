#include "limpet/base/drop.h"

namespace limpet {

const char* drop_name(Drop d) {
  switch (d) {
#define LIMPET_DROP_NAME(name, text) \
  case Drop::name:                   \
    return #name;
    LIMPET_DROPS(LIMPET_DROP_NAME)
#undef LIMPET_DROP_NAME
    case Drop::count_:
      break;
  }
  return "?";
}

const char* drop_text(Drop d) {
  switch (d) {
#define LIMPET_DROP_TEXT(name, text) \
  case Drop::name:                   \
    return text;
    LIMPET_DROPS(LIMPET_DROP_TEXT)
#undef LIMPET_DROP_TEXT
    case Drop::count_:
      break;
  }
  return "?";
}

}  // namespace limpet
