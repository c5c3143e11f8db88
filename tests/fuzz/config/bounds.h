// Every bound that include/limpet/config/document.h promises to whoever holds a Document, checked
// independently of the validator.
#pragma once

#include <string>

#include "limpet/config/document.h"

namespace limpet::config {

// The first promise that is broken, or an empty text.
std::string broken_bound(const Document& document);

}  // namespace limpet::config
