// What would stop limpet in the EAL's options of a configuration that is right otherwise: no
// worker, too little memory, no device for a port. Neither `config`, which knows no DPDK, nor
// `port`, which knows no file, can say it. Which options there are is the EAL's to say, when it
// starts. Pure.
#pragma once

#include <string>
#include <vector>

#include "limpet/config/load.h"

namespace limpet::apps {

// `given`: EAL arguments of the command line. Problems are sorted; those of a value on
// the command line come from the file "command line". A device that no --vdev creates is a problem
// only when the file has EAL arguments; without, they are all to come on a command line. The number
// of workers counts only where the arguments tell it.
std::vector<config::Problem> check_eal(const config::Document& document,
                                       const std::vector<std::string>& given);

}  // namespace limpet::apps
