#include "limpet/port/eal_values.h"

#include <gtest/gtest.h>

#include "plan.h"

namespace limpet::port {
namespace {

using Words = std::vector<std::string>;

std::string faults(const Words& words) {
  const auto options = merged_eal_options(words, {});
  EXPECT_FALSE(options.empty());
  std::string text;
  for (const EalFault& f : check_eal_values(options))
    text += std::to_string(f.option) + ": " + f.text + "\n";
  return text;
}

std::optional<unsigned> workers(const Words& words) {
  return worker_count(merged_eal_options(words, {}));
}

TEST(Lcores, AreCountedAsTheEalCountsThem) {
  struct {
    const char *option, *value;
    unsigned workers;
  } const cases[] = {
      {"--lcores", "0@0,1@1", 1},
      {"--lcores", "0-1", 1},
      {"--lcores", "3-0", 3},
      {"--lcores", "(0-2)@(0-1)", 2},
      {"--lcores", "(0,2-4,6)@0", 4},
      {"--lcores", " ( 0 , 1 ) @ 1 , 7 ", 2},
      {"--lcores", "0,1@5-7,2@(900,1023)", 2},
      {"--lcores", "0,0,(0-1)", 1},
      {"--lcores", "0-63", 63},
      {"--lcores", "126,127", 1},
      {"-l", "0,1", 1},
      {"-l", "0-3,7", 4},
      {"-l", " 1 - 2 , 5 ", 2},
      {"-c", "0x3", 1},
      {"-c", "F0", 3},
      {"-c", "80000000000000000000000000000001", 1},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(faults({c.option, c.value}), "") << c.value;
    EXPECT_EQ(workers({c.option, c.value}), c.workers) << c.value;
  }
}

TEST(Lcores, ThatTheEalCannotReadAreRefused) {
  for (const char* value : {"a",      "1-",   "-1",    "",       ",1",
                            "0,1,",   "0,,1", "(0-1",  "(0-1)x", "()",
                            "0@",     "@0",   "0@0@1", "0-2@1",  "3-3@1",
                            "0@1024", "0@a",  "128",   "0-128",  "99999999999999999999",
                            "0;1",    "0x1"}) {
    EXPECT_EQ(faults({"--lcores=" + std::string(value)}),
              "0: --lcores cannot be '" + std::string(value) +
                  "'; expected lcores from 0 to 127, with '@' and the CPUs that they run on if "
                  "these are others, such as \"0@0,1@1\" or \"(0-2)@(0-1)\"\n");
    EXPECT_EQ(workers({"--lcores=" + std::string(value)}), std::nullopt) << value;
  }
  for (const char* value : {"a", "1-", "1-0", ",1", "0,1,", "128", "0-128", "(0-1)", "0@0"})
    EXPECT_EQ(faults({"-l", value}), "0: -l cannot be '" + std::string(value) +
                                         "'; expected lcores from 0 to 127, such as \"0-3\" or "
                                         "\"0,2\"\n");
  for (const char* value : {"g", "0x", "0", "-3", "100000000000000000000000000000001"})
    EXPECT_EQ(faults({"-c", value}), "0: -c cannot be '" + std::string(value) +
                                         "'; expected a hexadecimal mask of lcores from 0 to 127, "
                                         "such as \"0x3\"\n");
}

TEST(Lcores, MustLeaveAWorkerAndNotTooMany) {
  EXPECT_EQ(faults({"-l", "5"}),
            "0: no worker: lcore 5 runs the control loop; expected at least one lcore more, such "
            "as \"--lcores\", \"0@0,1@1\" (\"0@0,1@0\" shares a CPU)\n");
  EXPECT_EQ(faults({"-l", "0-64"}), "");
  EXPECT_EQ(faults({"-l", "0-65"}), "0: 65 workers; expected at most 64, and one lcore more\n");
}

TEST(Lcores, OfServicesDoNotWork) {
  EXPECT_EQ(workers({"-l", "0-3", "-S", "2-3"}), 1u);
  EXPECT_EQ(workers({"-l", "0-3", "-s", "0xc"}), 1u);
  EXPECT_EQ(faults({"-l", "0-1", "-s", "2"}),
            "0: no worker: lcore 0 runs the control loop, and the others are service cores; "
            "expected at least one lcore more, such as \"--lcores\", \"0@0,1@1\" (\"0@0,1@0\" "
            "shares a CPU)\n");
  EXPECT_EQ(faults({"-l", "0-1", "-S", "1-"}),
            "1: -S cannot be '1-'; expected lcores from 0 to 127, such as \"0-3\" or \"0,2\"\n");
}

TEST(Lcores, MayHaveAMainOneOfTheirOwn) {
  EXPECT_EQ(faults({"-l", "0-1", "--main-lcore", "1"}), "");
  EXPECT_EQ(workers({"-l", "0-1", "--main-lcore=0x1"}), 1u);
  EXPECT_EQ(faults({"-l", "0-1", "--main-lcore", "2"}),
            "1: lcore 2 is none of those that the EAL is given; expected one of them\n");
  EXPECT_EQ(faults({"-l", "0-1", "--main-lcore", "x"}),
            "1: --main-lcore cannot be 'x'; expected an lcore from 0 to 127\n");
  EXPECT_EQ(faults({"--main-lcore", "128"}),
            "0: --main-lcore cannot be '128'; expected an lcore from 0 to 127\n");
}

TEST(Lcores, AreUpToTheMachineWhenNobodySays) {
  EXPECT_EQ(workers({"--no-huge"}), std::nullopt);
  EXPECT_EQ(faults({"--no-huge"}), "");
}

TEST(Lcores, AreChosenOnce) {
  EXPECT_EQ(faults({"-l", "0-1", "--lcores", "0-1"}),
            "1: --lcores says again which lcores there are, besides -l; expected one of -l, -c and "
            "--lcores, once\n");
}

TEST(EalValues, AreThoseThatTheEalTakes) {
  for (const Words& right :
       {Words{"-m", "1"}, Words{"-m", "524288"}, Words{"--socket-mem", "0,512"}, Words{"-n", "4"},
        Words{"-r", "16"}, Words{"--proc-type", "Primary"}, Words{"--proc-type=auto"},
        Words{"--iova-mode=va"}, Words{"--vfio-intr=msix"}, Words{"--huge-unlink"},
        Words{"--huge-unlink=never"}, Words{"--syslog=local7"}, Words{"--base-virtaddr=0x100000"},
        Words{"--force-max-simd-bitwidth=512"}, Words{"--file-prefix=a"}, Words{"--huge-dir=/a"},
        Words{"--log-level=lib.eal:debug"}})
    EXPECT_EQ(faults(right), "") << right[0];
  struct {
    const char *option, *value, *expected;
  } const wrong[] = {
      {"-m", "0", "whole megabytes from 1 to 524288, such as \"512\""},
      {"-m", "abc", "whole megabytes from 1 to 524288, such as \"512\""},
      {"-m", "-5", "whole megabytes from 1 to 524288, such as \"512\""},
      {"-m", "512x", "whole megabytes from 1 to 524288, such as \"512\""},
      {"-m", "524289", "whole megabytes from 1 to 524288, such as \"512\""},
      {"--socket-mem", "512,",
       "whole megabytes up to 524288 for each of at most 32 sockets, such "
       "as \"512,512\""},
      {"-n", "0", "a number of memory channels from 1 on"},
      {"-r", "17", "a number of memory ranks from 1 to 16"},
      {"--proc-type", "secondary",
       "\"primary\", as limpet owns its memory and ports, or no such option"},
      {"--iova-mode", "dc", "\"pa\" or \"va\""},
      {"--vfio-intr", "intx", "\"legacy\", \"msi\" or \"msix\""},
      {"--syslog", "local8", "a facility such as \"daemon\" or \"local0\""},
      {"--base-virtaddr", "0xg", "a hexadecimal address"},
      {"--force-max-simd-bitwidth", "77", "0 or a power of two from 64 to 32768"},
      {"--file-prefix", "a%b", "a name without '%'"},
      {"--huge-dir", "", "a name"},
  };
  for (const auto& w : wrong)
    EXPECT_EQ(faults({w.option, w.value}), std::string("0: ") + w.option + " cannot be '" +
                                               w.value + "'; expected " + w.expected + "\n");
  EXPECT_EQ(faults({"--huge-unlink=all"}),
            "0: --huge-unlink cannot be 'all'; expected \"existing\", \"always\" or \"never\"\n");
  EXPECT_EQ(faults({"--socket-mem",
                    "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,"
                    "1,1"})
                .substr(0, 22),
            "0: --socket-mem cannot");
}

TEST(EalValues, ThatEndTheProcessAreForTheCommandLine) {
  for (const Words& words : {Words{"--help"}, Words{"--log-level", "help"}})
    EXPECT_EQ(faults(words), "0: " + words[0] +
                                 " makes the EAL print a text and end; expected it on the command "
                                 "line only\n");
}

TEST(EalValues, ThatExcludeEachOtherAreRefused) {
  EXPECT_EQ(faults({"--no-huge", "-m", "64", "--socket-mem", "64"}),
            "2: --socket-mem cannot stand beside --no-huge; expected one of them\n");
  EXPECT_EQ(faults({"--huge-unlink", "--no-huge"}),
            "1: --no-huge cannot stand beside --huge-unlink; expected one of them\n");
  EXPECT_EQ(faults({"--huge-unlink=never", "--no-huge"}), "");
  EXPECT_EQ(faults({"--allow", "03:00.0", "-b", "03:00.1"}),
            "1: -b cannot stand beside --allow; expected one of them\n");
  EXPECT_EQ(faults({"-a", "03:00.0", "-a", "03:00.1"}), "");
}

TEST(Vdevs, NeedWhatTheirDriversNeed) {
  for (const char* right :
       {"net_tap0", "net_null0", "net_ring0", "net_memif0", "net_af_packet0,iface=l0,qpairs=2",
        "eth_af_packet0,iface=abcdefghijklmno", "net_pcap0,rx_pcap=/a,tx_pcap=/b",
        "net_pcap0,iface=l0", "net_bonding0,mode=1,slave=net_tap0", "net_nosuch0"})
    EXPECT_EQ(vdev_fault(right), std::nullopt) << right;
  struct {
    const char *value, *fault;
  } const wrong[] = {
      {"net_af_packet0",
       "net_af_packet0 gets no iface=; expected "
       "\"--vdev=net_af_packet0,iface=eth0\""},
      {"net_af_packet0,qpairs=1",
       "net_af_packet0 gets no iface=; expected "
       "\"--vdev=net_af_packet0,iface=eth0\""},
      {"net_af_packet0,iface",
       "iface= of net_af_packet0 is empty; expected "
       "\"--vdev=net_af_packet0,iface=eth0\""},
      {"net_af_packet0,iface=abcdefghijklmnop",
       "'abcdefghijklmnop' is too long for an interface; expected at most 15 characters"},
      {"net_af_packet0,iface=l0,qpair=2",
       "net_af_packet has no argument qpair; expected some of iface, qpairs, blocksz, framesz, "
       "framecnt, qdisc_bypass"},
      {"net_af_xdp1", "net_af_xdp1 gets no iface=; expected \"--vdev=net_af_xdp1,iface=eth0\""},
      {"net_pcap0", "net_pcap0 gets no iface=; expected \"--vdev=net_pcap0,iface=eth0\""},
      {"net_bonding0",
       "net_bonding0 gets no mode=; expected "
       "\"--vdev=net_bonding0,mode=1,slave=0000:03:00.0\""},
      {"net_vhost0",
       "net_vhost0 gets no iface=; expected \"--vdev=net_vhost0,iface=/run/vhost0"
       ".sock\""},
      {"virtio_user0",
       "virtio_user0 gets no path=; expected "
       "\"--vdev=virtio_user0,path=/dev/vhost-net\""},
  };
  for (const auto& w : wrong) EXPECT_EQ(vdev_fault(w.value), w.fault);
}

TEST(LeastMemory, IsBelowWhatAnyNicNeeds) {
  const uint64_t least = least_memory(2, 1, 4096, 1500);
  EXPECT_GT(least, 4096u * 2048);
  EXPECT_LT(least, mbufs_needed({{{1, 64, 1, 64}}, 2, 4096}) * uint64_t{2048 + 128 + 128 + 64});
  EXPECT_GT(least_memory(2, 1, 4096, 9000), 3 * least);
}

}  // namespace
}  // namespace limpet::port
