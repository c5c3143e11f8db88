// A hostile client, the product's splice and HTTP, and a backend's kernel: whatever the client says
// again and whatever the kernel discards, each reader of the oracle must find in the backend's
// octets the messages that were judged. And whoever then is honest is served to the end.
//
// Input: the service, how much memory there is and whether there are timestamps, then actions; each
// an octet that says which (its low three bits) and how, and what it needs. Octets that are said
// stand in the input as they are, behind their length.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "../../oracle/splice_rig.h"

namespace limpet::oracle {
namespace {

using namespace std::chrono_literals;

constexpr uint8_t kFewHolds = 32, kFewCopies = 64, kNoTimestamps = 128;  // of the first octet
constexpr uint8_t kOld = 8;                                              // its TSval
constexpr uint8_t kLost = 16;                                            // what comes of it

constexpr std::array<std::string_view, 8> kAnswers = {
    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nSet-Cookie: J=aa\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 304 Not Modified\r\n\r\n",
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    "HTTP/1.1 200 OK\r\n\r\nuntil it closes",
    "no HTTP at all",
};

class Input {
 public:
  explicit Input(std::string_view data) : rest_(data) {}
  bool empty() const { return rest_.empty(); }
  uint8_t byte() {
    const auto octets = take(1);
    return octets.empty() ? 0 : static_cast<uint8_t>(octets[0]);
  }
  std::string_view take(size_t n) {
    const std::string_view octets = rest_.substr(0, n);
    rest_.remove_prefix(octets.size());
    return octets;
  }
  std::string_view octets() { return take(byte()); }

 private:
  std::string_view rest_;
};

void require(bool promise, const std::string& text) {
  if (promise) return;
  std::fprintf(stderr, "broken promise: %s\n", text.c_str());
  std::abort();
}

void act(SpliceRig& rig, Input& in) {
  const uint8_t op = in.byte();
  Said how;
  how.later = (op & kOld) != 0 ? -5000 : 0;
  how.lost = (op & kLost) != 0;
  const uint32_t end = rig.end();
  const auto back = [&] { return end - std::min<uint32_t>(end, in.byte()); };
  switch (op & 7) {
    case 0:
    case 1:  // what comes next
      rig.say(end, in.octets(), how);
      break;
    case 2: {  // other octets with old numbers, perhaps more of them
      const uint32_t at = back();
      rig.say(at, in.octets(), how);
      break;
    }
    case 3: {  // the same ones, cut anew
      const uint32_t at = back();
      const uint32_t most = in.byte();
      rig.say(at, rig.said(at, std::min(most, end - at)), how);
      break;
    }
    case 4: {  // behind a gap
      const uint32_t gap = in.byte() % 32u;
      rig.say(end + gap, in.octets(), how);
      break;
    }
    case 5:
      rig.acknowledge();
      break;
    case 6:
      rig.answer(kAnswers[op >> 3 & 7]);
      break;
    default:
      rig.pass(op & kOld ? 300ms : 25ms);
  }
}

void test(std::string_view data) {
  Input in(data);
  const uint8_t how = in.byte();
  Memory memory;
  if ((how & kFewHolds) != 0) memory.holds = 2048;
  if ((how & kFewCopies) != 0) memory.copies = 512;
  SpliceRig rig(static_cast<Service>((how & 31) % static_cast<uint8_t>(Service::count_)),
                (how & kNoTimestamps) == 0, memory);
  while (!in.empty() && !rig.over()) act(rig, in);
  rig.repair();
  require(rig.arrived(), "what was judged arrives");
  const std::string complaint = rig.complaint();
  require(complaint.empty(), complaint);
}

}  // namespace
}  // namespace limpet::oracle

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  limpet::oracle::test({reinterpret_cast<const char*>(data), size});
  return 0;
}
