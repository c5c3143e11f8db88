#include "limpet/dataplane/log_record.h"

namespace limpet::dataplane {
namespace {

struct Named {
  std::string_view name;
  char letter;
};

constexpr std::array<Named, kEndings> kNamed = {{
    {"done", '-'},
    {"client_abort", 'C'},
    {"client_timeout", 'c'},
    {"backend_abort", 'S'},
    {"backend_timeout", 's'},
    {"connect_failed", 'S'},
    {"connect_timeout", 's'},
    {"no_backend", 'S'},
    {"refused", 'P'},
    {"bad_response", 'P'},
    {"no_memory", 'R'},
    {"backend_down", 'D'},
    {"gave_way", 'R'},
    {"replaced", 'C'},
    {"idle", 'c'},
}};

}  // namespace

std::string_view ending_name(Ending ending) {
  const auto i = static_cast<size_t>(ending);
  return i < kNamed.size() ? kNamed[i].name : std::string_view("unknown");
}

std::array<char, 2> ending_letters(Ending ending, Phase phase) {
  constexpr std::string_view kPhases = "RCHD-";
  const auto i = static_cast<size_t>(ending);
  const auto p = static_cast<size_t>(phase);
  if (i >= kNamed.size() || p >= kPhases.size()) return {'?', '?'};
  // What is done has no phase in which it ended.
  if (ending == Ending::done) return {'-', '-'};
  if (ending == Ending::no_backend) return {'S', 'C'};
  return {kNamed[i].letter, kPhases[p]};
}

}  // namespace limpet::dataplane
