#include "limpet/base/os_error.h"

#include <cctype>
#include <cstring>
#include <utility>

namespace limpet {

std::string lower_first(std::string text) {
  if (text.size() > 1 && std::isupper(static_cast<unsigned char>(text[1])) == 0)
    text[0] = static_cast<char>(std::tolower(static_cast<unsigned char>(text[0])));
  return text;
}

std::string errno_text(int error) {
  return lower_first(strerror(error));
}

}  // namespace limpet
