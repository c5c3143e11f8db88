// What concerns the whole process: eal, poll, capacity, and the names of the top level.
#include <fmt/core.h>

#include "validate.h"

namespace limpet::config {
namespace {

void read_eal(const Node& node, Draft& draft) {
  constexpr size_t kMaxArguments = 256;
  const auto list = read_sequence(node, "EAL argument", 0, kMaxArguments, draft.report);
  if (!list) return;
  for (const Node& argument : *list) {
    const auto text = read_string(argument, "an EAL argument such as \"--no-huge\"", draft.report);
    if (!text) continue;
    if (text->empty())
      draft.report.add(argument, "empty; expected an EAL argument such as \"--no-huge\"");
    else if (*text == "--")
      draft.report.add(argument, "\"--\" ends the EAL arguments; expected only EAL arguments");
    else if (draft.document.eal.empty() && &argument == &list->front() && text->front() != '-')
      draft.report.add(argument, fmt::format("{} is no option; expected the first EAL argument to "
                                             "begin with '-'",
                                             quote(*text)));
    else {
      draft.document.eal.push_back(*text);
      draft.document.eal_places.push_back({argument.file, argument.line});
    }
  }
  // A gap would make an option's value an option: nobody is to judge what is left.
  if (draft.document.eal.size() != list->size()) {
    draft.document.eal.clear();
    draft.document.eal_places.clear();
  }
}

void read_capacity(const Node& node, Draft& draft) {
  if (!is_group(node, draft.report)) return;
  check_names(node, {{"flows", "held_packets"}, {}}, draft.report);
  Capacity& capacity = draft.document.capacity;
  if (const Node* flows = node.find("flows"))
    if (const auto n = read_integer(*flows, 1024, 1 << 27, draft.report))
      capacity.flows = static_cast<uint32_t>(*n);
  if (const Node* held = node.find("held_packets"))
    if (const auto n = read_integer(*held, 64, 1 << 20, draft.report))
      capacity.held_packets = static_cast<uint32_t>(*n);
}

}  // namespace

void read_process(Draft& draft) {
  const Node& root = draft.root;
  check_names(root,
              {{"eal", "poll", "capacity", "ports", "routes", "pools", "services", "cookie_keys",
                "metrics", "log"},
               {"stores"}},
              draft.report);
  if (const Node* eal = root.find("eal")) read_eal(*eal, draft);
  if (const Node* poll = root.find("poll"))
    if (const auto word = read_word(*poll, {"spin", "adaptive"}, {}, draft.report))
      draft.document.poll = *word == 0 ? Poll::spin : Poll::adaptive;
  if (const Node* capacity = root.find("capacity")) read_capacity(*capacity, draft);
}

const Node& member(const Node& group, std::string_view name) {
  const Node* node = group.find(name);
  return node != nullptr ? *node : group;
}

const Node& element(const Node& root, std::string_view list, size_t index) {
  const Node& sequence = member(root, list);
  return &sequence != &root && index < sequence.children.size() ? sequence.children[index]
                                                                : sequence;
}

void validate(Draft& draft) {
  read_process(draft);
  read_metrics(draft);
  read_log(draft);
  read_ports(draft);
  read_routes(draft);
  read_pools(draft);
  read_services(draft);
  check_sealing(draft);
  check_addresses(draft);
  check_metrics(draft);
}

}  // namespace limpet::config
