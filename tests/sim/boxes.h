// Boxes of the tests' own: one that translates rightly, to prove the endpoints and their checker
// through a translation, and the same with one fault each, to prove that faults are caught.
#pragma once

#include <functional>

#include "middlebox.h"

namespace limpet::sim {

// What is added to the numbers of each end on the way to the other. The client is at port 0.
struct Shifts {
  uint32_t client_seq = 0, server_seq = 0;
  uint32_t client_time = 0, server_time = 0;
};

class ShiftingBox : public Middlebox {
 public:
  // A frame on its way out, already translated; `number` counts those of its direction from 1.
  struct Passing {
    Segment& segment;
    bool from_client;
    unsigned number;
    Instant now;
  };
  enum class Verdict : uint8_t { pass, drop };
  using Fault = std::function<Verdict(Passing&)>;

  explicit ShiftingBox(Shifts shifts, Fault fault = nullptr)
      : shifts_(shifts), fault_(std::move(fault)) {}
  std::vector<Frame> on_frame(uint16_t port, Bytes bytes, Instant now) override;

  bool translate_sack = true;
  bool translate_quoted = true;

 private:
  void translate(Segment& s, bool from_client) const;

  Shifts shifts_;
  Fault fault_;
  unsigned passed_[2]{};
};

}  // namespace limpet::sim
