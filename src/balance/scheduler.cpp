#include "limpet/balance/scheduler.h"

namespace limpet::balance {

const char* name(SchedulerType type) {
  switch (type) {
    case SchedulerType::maglev:
      return "maglev";
    case SchedulerType::roundrobin:
      return "roundrobin";
  }
  return "?";
}

}  // namespace limpet::balance
