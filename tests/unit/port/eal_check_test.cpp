#include "eal_check.h"

#include <gtest/gtest.h>

namespace limpet::apps {
namespace {

std::string problems(const std::string& eal, const std::vector<std::string>& given = {}) {
  const auto loaded = config::load_text("poll = \"spin\";\n" + eal + "\n" +
                                            R"(ports = (
  { name = "front"; device = "net_ring0"; addresses = [ "10.1.0.254/24" ]; },
  { name = "back";
    device = "0000:03:00.0"; addresses = [ "10.2.0.254/24" ]; } );
pools = ( { name = "web"; backends = ( { name = "s0"; address = "10.2.0.10"; port = 80; } ); } );
services = ( { name = "web"; vip = "10.1.0.100"; port = 80; pool = "web"; } );
)",
                                        "l.cfg");
  EXPECT_TRUE(loaded.ok()) << loaded.problems[0].to_string();
  std::string text;
  for (const config::Problem& p : check_eal(loaded.document, given)) text += p.to_string() + "\n";
  return text;
}

TEST(EalCheck, HasNothingToSayOfWhatStarts) {
  EXPECT_EQ(problems(R"(eal = [ "--no-huge", "--vdev=net_ring0,nodeaction=r:0:CREATE" ];)"), "");
  EXPECT_EQ(problems(R"(eal = [ "--no-huge", "-a", "net_ring0,x=1", "-a", "0000:03:00.0" ];)"), "");
}

TEST(EalCheck, NamesTheLineOfAnOptionThatTheEalRefuses) {
  EXPECT_EQ(problems(R"(eal = [ "--vdev=net_ring0", "--bogus" ];)"),
            "l.cfg:2: eal: '--bogus' is no option of DPDK's EAL; expected options of DPDK's EAL as "
            "`limpet --help --` lists them\n");
  EXPECT_EQ(problems("\n\neal =\n[ \"--vdev=net_ring0\", \"--lcores\" ];"),
            "l.cfg:4: eal: EAL option --lcores needs a value; expected options of DPDK's EAL as "
            "`limpet --help --` lists them\n");
}

TEST(EalCheck, NamesADeviceThatNothingCreates) {
  EXPECT_EQ(problems(R"(eal = [ "--no-huge", "--vdev=net_ring00" ];)"),
            "l.cfg:4: ports[0].device: no EAL argument creates \"net_ring0\"; expected "
            "\"--vdev=net_ring0,...\" in `eal`\n");
}

TEST(EalCheck, KnowsThatTheCommandLineMayCreateIt) {
  EXPECT_EQ(problems(""), "") << "no EAL arguments in the file: all are to come";
  EXPECT_EQ(problems(R"(eal = [ "--no-huge" ];)", {"--vdev", "net_ring0"}), "");
  EXPECT_NE(problems(R"(eal = [ "--no-huge" ];)", {"--vdev", "net_ring1"}), "");
}

}  // namespace
}  // namespace limpet::apps
