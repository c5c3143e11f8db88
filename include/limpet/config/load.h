// libconfig file -> Document, or every error at once. Needs neither EAL nor root, opens no socket,
// reads nothing but the file and what it @includes.
#pragma once

#include <string>
#include <vector>

#include "limpet/config/document.h"

namespace limpet::config {

struct Problem {
  std::string file;
  int line = 0;
  std::string path;               // "pools[0].backends[1].weight"; empty for the file itself
  std::string text;               // "problem; expected ..."
  std::string to_string() const;  // "FILE:LINE: SETTING.PATH: problem; expected ..."
};

struct Loaded {
  Document document;              // whole only when problems is empty
  std::vector<Problem> problems;  // sorted by file and line
  // The text is no configuration at all: `document` is empty. Else it has what could be read, and
  // in the place of the rest an unspecified address, port 0 or an empty text or list.
  bool unreadable = false;
  bool ok() const { return problems.empty(); }
};

Loaded load_file(const std::string& path);
Loaded load_text(const std::string& text, const std::string& name);  // tests, fuzzers; no @include
void sort(std::vector<Problem>& problems);  // by file and line, else in the order that they have

// What differs between two documents that a running process cannot change (eal, poll, capacity,
// ports, the first service with mode splice, the size of a stick table); one sentence a difference,
// empty when a reload may go ahead.
std::vector<std::string> restart_needed(const Document& running, const Document& wanted);

}  // namespace limpet::config
