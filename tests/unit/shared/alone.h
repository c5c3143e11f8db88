// Set by main: the process has a network namespace of its own, so that checks may go anywhere.
#pragma once

namespace limpet {

extern bool g_alone;

}  // namespace limpet
