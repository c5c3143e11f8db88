// How long clients of dead backends wait for their resets.
#pragma once

namespace limpet::worker_test {

// `make_room` frees what other benchmarks keep: the flows of both would not fit.
void register_resets(void (*make_room)());

}  // namespace limpet::worker_test
