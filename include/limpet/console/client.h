// The client end of the control socket: one request line, one reply line. Used by limpetctl; knows
// nothing of DPDK, so it starts at once.
#pragma once

#include <optional>
#include <string>

#include "limpet/base/result.h"
#include "limpet/base/time.h"

namespace limpet::console {

// Where a daemon of that --file-prefix has its socket: `limpet.sock` in DPDK's runtime directory.
// $RUNTIME_DIRECTORY (systemd), else /var/run for root, else $XDG_RUNTIME_DIR, else /tmp; then
// dpdk/PREFIX.
std::string default_socket_path(const std::string& prefix);

struct Reply {
  enum class Kind { answered, no_daemon, broken };
  Kind kind = Kind::broken;
  std::string line;   // answered: the reply without its newline
  std::string error;  // else: one sentence with the path that was tried
};

// Sends `request` (one line without newline) and reads to the next newline. `patience` is how long
// to wait without any progress; replies may have megabytes.
Reply ask_daemon(const std::string& path, const std::string& request,
                 Duration patience = std::chrono::seconds(5));

}  // namespace limpet::console
