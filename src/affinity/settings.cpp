#include "limpet/affinity/settings.h"

namespace limpet::affinity {

const char* name(CookieMode mode) {
  switch (mode) {
    case CookieMode::insert:
      return "insert";
    case CookieMode::rewrite:
      return "rewrite";
    case CookieMode::prefix:
      return "prefix";
    case CookieMode::learn:
      return "learn";
  }
  return "?";
}

const char* attribute(SameSite site) {
  switch (site) {
    case SameSite::unset:
      return "";
    case SameSite::strict:
      return "Strict";
    case SameSite::lax:
      return "Lax";
    case SameSite::none:
      return "None";
  }
  return "?";
}

const char* type_name(const EntrySettings& entry) {
  return std::visit(Visit{[](const SourceSettings&) { return "source"; },
                          [](const CookieSettings&) { return "cookie"; },
                          [](const HeaderSettings&) { return "header"; }},
                    entry);
}

std::string_view carrier_name(const EntrySettings& entry) {
  return std::visit(Visit{[](const SourceSettings&) { return std::string_view(); },
                          [](const CookieSettings& c) { return std::string_view(c.name); },
                          [](const HeaderSettings& h) { return std::string_view(h.name); }},
                    entry);
}

bool same_carrier(const EntrySettings& a, const EntrySettings& b) {
  if (a.index() != b.index()) return false;
  return std::visit(
      Visit{[](const SourceSettings&) { return true; },
            [&b](const CookieSettings& c) {
              const auto& other = std::get<CookieSettings>(b);
              return c.mode == other.mode && c.name == other.name;
            },
            [&b](const HeaderSettings& h) { return h.name == std::get<HeaderSettings>(b).name; }},
      a);
}

}  // namespace limpet::affinity
