// The only file that knows libconfig: text -> Node tree.
#include <fmt/core.h>
#include <libconfig.h>

#include <algorithm>

#include "tree.h"

namespace limpet::config {
namespace {

class Parsed {
 public:
  Parsed() { config_init(&config_); }
  ~Parsed() { config_destroy(&config_); }
  Parsed(const Parsed&) = delete;
  Parsed& operator=(const Parsed&) = delete;
  config_t* get() { return &config_; }

 private:
  config_t config_{};
};

void copy(const config_setting_t* setting, const Source& source, Node& node) {
  // The root's children are nested at most kMaxNesting deep: Structure refused anything deeper.
  const auto child_count = config_setting_is_aggregate(setting) != 0
                               ? static_cast<unsigned>(config_setting_length(setting))
                               : 0u;
  const bool group = config_setting_is_group(setting) != 0;
  node.children.reserve(child_count);
  for (unsigned i = 0; i < child_count; ++i) {
    const config_setting_t* from = config_setting_get_elem(const_cast<config_setting_t*>(setting),
                                                           i);  // reads only, but takes no const
    Node child;
    if (group) {
      child.name = config_setting_name(from);
      child.path = node.path.empty() ? child.name : fmt::format("{}.{}", node.path, child.name);
    } else {
      child.path = fmt::format("{}[{}]", node.path, i);
    }
    // libconfig gives string elements the line of the token behind them, so the places come from
    // us.
    if (const auto place = source.places.find(child.path); place != source.places.end()) {
      child.file = source.file_of(place->second);
      child.line = place->second.line;
    }
    copy(from, source, child);
    node.children.push_back(std::move(child));
  }
  switch (config_setting_type(setting)) {
    case CONFIG_TYPE_GROUP:
      node.kind = Kind::group;
      break;
    case CONFIG_TYPE_LIST:
      node.kind = Kind::list;
      break;
    case CONFIG_TYPE_ARRAY:
      node.kind = Kind::array;
      break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
      node.kind = Kind::integer;
      node.integer = config_setting_get_int64(setting);
      if (config_setting_type(setting) == CONFIG_TYPE_INT)
        node.integer = config_setting_get_int(setting);
      if (const auto w = source.wrapped.find(node.path); w != source.wrapped.end())
        node.wrapped = w->second;
      break;
    case CONFIG_TYPE_FLOAT:
      node.kind = Kind::real;
      node.real = config_setting_get_float(setting);
      break;
    case CONFIG_TYPE_BOOL:
      node.kind = Kind::boolean;
      node.boolean = config_setting_get_bool(setting) != CONFIG_FALSE;
      break;
    default:
      node.kind = Kind::string;
      if (const char* text = config_setting_get_string(setting)) node.text = text;
      break;
  }
}

}  // namespace

std::optional<Problem> build_tree(const Source& source, Node& root) {
  root.file = source.files[0];
  root.line = 1;
  Parsed parsed;
  // Every include was expanded; if one were left, it could not be opened.
  config_set_include_dir(parsed.get(), "/dev/null");
  if (config_read_string(parsed.get(), source.text.c_str()) == CONFIG_TRUE) {
    copy(config_root_setting(parsed.get()), source, root);
    return std::nullopt;
  }
  // Structure knows the same grammar, so this is a second fence, not the usual way.
  Origin at{0, 1};
  if (!source.lines.empty()) {
    const auto line = static_cast<size_t>(std::max(config_error_line(parsed.get()), 1));
    at = source.lines[std::min(line, source.lines.size()) - 1];
  }
  const char* text = config_error_text(parsed.get());
  return Problem{source.file_of(at), at.line, "",
                 fmt::format("libconfig: {}; expected valid libconfig syntax",
                             text != nullptr ? text : "error")};
}

}  // namespace limpet::config
