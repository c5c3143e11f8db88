#include "limpet/http/head.h"

#include "limpet/http/body.h"

namespace limpet::http {

#define LIMPET_HTTP_NAME(kind, name) \
  case kind::name:                   \
    return #name;
#define LIMPET_HTTP_TEXT(kind, name, text) \
  case kind::name:                         \
    return text;
#define LIMPET_HTTP_REFUSAL_NAME(name, text) LIMPET_HTTP_NAME(Refusal, name)
#define LIMPET_HTTP_REFUSAL_TEXT(name, text) LIMPET_HTTP_TEXT(Refusal, name, text)
#define LIMPET_HTTP_BODY_FAULT_NAME(name, text) LIMPET_HTTP_NAME(BodyFault, name)
#define LIMPET_HTTP_BODY_FAULT_TEXT(name, text) LIMPET_HTTP_TEXT(BodyFault, name, text)

const char* refusal_name(Refusal r) {
  switch (r) {
    LIMPET_HTTP_REFUSALS(LIMPET_HTTP_REFUSAL_NAME)
    case Refusal::count_:
      break;
  }
  return "?";
}

const char* refusal_text(Refusal r) {
  switch (r) {
    LIMPET_HTTP_REFUSALS(LIMPET_HTTP_REFUSAL_TEXT)
    case Refusal::count_:
      break;
  }
  return "?";
}

const char* body_fault_name(BodyFault f) {
  switch (f) {
    LIMPET_HTTP_BODY_FAULTS(LIMPET_HTTP_BODY_FAULT_NAME)
    case BodyFault::count_:
      break;
  }
  return "?";
}

const char* body_fault_text(BodyFault f) {
  switch (f) {
    LIMPET_HTTP_BODY_FAULTS(LIMPET_HTTP_BODY_FAULT_TEXT)
    case BodyFault::count_:
      break;
  }
  return "?";
}

}  // namespace limpet::http
