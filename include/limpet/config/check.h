// `limpet --check FILE`: the verdict on a file for a person, and an exit status for a script.
#pragma once

#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "limpet/config/load.h"

namespace limpet::config {

// What somebody else knows of a document. It is asked about one with problems too, so that an
// operator sees all of them at once; a list or text that is empty there is not to be judged.
using Further = std::function<std::vector<Problem>(const Document&)>;
Loaded load_checked(const std::string& path, const Further& further);

// Every problem on a line of its own to `err` and 2; or "FILE: ok (2 ports, 3 pools, 4 services,
// 9 backends)" to `out` and 0.
int check_file(const std::string& path, std::FILE* out, std::FILE* err,
               const Further& further = {});

}  // namespace limpet::config
