// What the kernel says went wrong, in words that fit into a sentence.
#pragma once

#include <string>

namespace limpet {

// A text of somebody else's begins in lower case; "SSL ..." keeps its case.
std::string lower_first(std::string text);

// "connection refused" for ECONNREFUSED.
std::string errno_text(int error);

}  // namespace limpet
