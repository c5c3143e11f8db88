#pragma once

#include <string>

namespace limpet::config {

// Valid texts are rare in a corpus that grows by coverage, and each bound of the validator is one
// change away from one of them: the mutator keeps some and starts from them now and then.
void remember_valid(const std::string& text);

}  // namespace limpet::config
