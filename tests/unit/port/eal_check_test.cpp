#include "eal_check.h"

#include <gtest/gtest.h>

namespace limpet::apps {
namespace {

std::string problems(const std::string& eal, const std::vector<std::string>& given = {},
                     const std::string& pool = "") {
  const auto loaded = config::load_text(
      "poll = \"spin\";\n" + eal + "\n" +
          R"(ports = (
  { name = "front"; device = "net_ring0"; addresses = [ "10.1.0.254/24" ]; },
  { name = "back";
    device = "0000:03:00.0"; addresses = [ "10.2.0.254/24" ]; } );
pools = ( { name = "web"; )" +
          pool + R"( backends = ( { name = "s0"; address = "10.2.0.10"; port = 80; } ); } );
services = ( { name = "web"; vip = "10.1.0.100"; port = 80; pool = "web"; } );
)",
      "l.cfg");
  EXPECT_TRUE(loaded.ok()) << loaded.problems[0].to_string();
  std::string text;
  for (const config::Problem& p : check_eal(loaded.document, given)) text += p.to_string() + "\n";
  return text;
}

TEST(EalCheck, has_nothing_to_say_of_what_starts) {
  EXPECT_EQ(problems(R"(eal = [ "--no-huge", "--vdev=net_ring0,nodeaction=r:0:CREATE" ];)"), "");
  EXPECT_EQ(problems(R"(eal = [ "--no-huge", "-a", "net_ring0,x=1", "-a", "0000:03:00.0" ];)"), "");
}

TEST(EalCheck, names_the_line_of_a_word_that_is_no_option) {
  EXPECT_EQ(problems("eal = [ \"--vdev=net_ring0\", \"--no-huge\", \"1\",\n\"2\" ];"),
            "l.cfg:3: eal[3]: '2' belongs to no option; expected EAL options and their values\n");
}

TEST(EalCheck, leaves_options_to_the_eal) {
  EXPECT_EQ(problems(R"(eal = [ "--vdev=net_ring0,x", "--bogus" ];)", {"--bogus"}), "");
}

TEST(EalCheck, names_a_device_that_nothing_creates) {
  EXPECT_EQ(problems(R"(eal = [ "--no-huge", "--vdev=net_ring00" ];)"),
            "l.cfg:4: ports[0].device: no EAL argument creates \"net_ring0\"; expected "
            "\"--vdev=net_ring0,...\" in `eal`\n");
}

TEST(EalCheck, knows_that_the_command_line_may_create_it) {
  EXPECT_EQ(problems(""), "") << "no EAL arguments in the file: all are to come";
  EXPECT_EQ(problems(R"(eal = [ "--no-huge" ];)", {"--vdev", "net_ring0"}), "");
  EXPECT_NE(problems(R"(eal = [ "--no-huge" ];)", {"--vdev", "net_ring1"}), "");
}

TEST(EalCheck, names_the_word_of_a_value_that_the_eal_refuses) {
  const std::string lcores =
      "lcores from 0 to 127, with '@' and the CPUs that they run on if these are others, such as "
      "\"0@0,1@1\" or \"(0-2)@(0-1)\"\n";
  EXPECT_EQ(
      problems("eal = [ \"--vdev=net_ring0\",\n\"--lcores\",\n\"1-\",\n\"-mx\" ];"),
      "l.cfg:4: eal[2]: --lcores cannot be '1-'; expected " + lcores +
          "l.cfg:5: eal[3]: -m cannot be 'x'; expected whole megabytes from 1 to 524288, such "
          "as \"512\"\n");
  EXPECT_EQ(problems(R"(eal = [ "--vdev=net_ring0" ];)", {"--lcores", "1-"}),
            "command line: --lcores: --lcores cannot be '1-'; expected " + lcores);
  EXPECT_EQ(problems(R"(eal = [ "--vdev=net_ring0", "--lcores", "1-" ];)", {"-l", "0-1"}), "")
      << "replaced";
}

TEST(EalCheck, knows_which_pci_devices_the_eal_may_use) {
  const std::string ring = R"("--vdev=net_ring0")";
  EXPECT_EQ(problems("eal = [ " + ring + ", \"--no-pci\" ];"),
            "l.cfg:6: ports[1].device: \"0000:03:00.0\" is a PCI device, and the EAL runs with "
            "--no-pci; expected that option to be left out\n");
  EXPECT_NE(problems("", {"--no-pci"}), "");
  EXPECT_EQ(problems("eal = [ " + ring + ", \"-a\", \"03:00.1\" ];"),
            "l.cfg:6: ports[1].device: \"0000:03:00.0\" is not among the PCI devices of -a; "
            "expected \"-a\", \"0000:03:00.0\" in `eal`\n");
  EXPECT_EQ(
      problems("eal = [ " + ring + ", \"-b\", \"03:00.0\" ];"),
      "l.cfg:6: ports[1].device: -b keeps \"0000:03:00.0\" from the EAL; expected that option "
      "to be left out\n");
  EXPECT_EQ(problems("eal = [ " + ring + ", \"-b\", \"03:00.1\" ];"), "");
  EXPECT_EQ(problems("eal = [ \"-a\", \"net_ring0\" ];"), "") << "no PCI device is allowed or not";
  EXPECT_EQ(problems("eal = [ " + ring + ", \"-a\", \"03:00.0,x=1\" ];"), "");
  EXPECT_EQ(problems("eal = [ " + ring + ", \"-a\", \"pci:0000:03:00.0\" ];"), "");
}

TEST(EalCheck, knows_how_many_workers_share_the_ports_of_a_pool) {
  const auto ports = [](const char* lcores, const std::string& pool) {
    return problems(
        R"(eal = [ "--vdev=net_ring0" ];)",
        lcores == nullptr ? std::vector<std::string>{} : std::vector<std::string>{"-l", lcores},
        pool);
  };
  EXPECT_EQ(ports("0-4", "source_ports = [ 2000, 2000 ];"),
            "l.cfg:7: pools[0].source_ports: 1 port of 1 source address for 4 workers, each of "
            "which needs ports of its own; expected at least 32\n");
  EXPECT_EQ(ports("0-4",
                  "source_ports = [ 2000, 2030 ];\n"
                  "source_addresses = [ \"10.2.0.254\", \"10.2.0.253\" ];"),
            "");
  EXPECT_EQ(ports("0-4",
                  "source_ports = [ 2000, 2014 ];\n"
                  "source_addresses = [ \"10.2.0.254\", \"10.2.0.253\" ];"),
            "l.cfg:7: pools[0].source_ports: 15 ports of 2 source addresses for 4 workers, each of "
            "which needs ports of its own; expected at least 16\n");
  EXPECT_EQ(ports("0-4", "source_ports = [ 2000, 2031 ];"), "");
  EXPECT_EQ(ports("0-1", "source_ports = [ 2000, 2000 ];"), "") << "one worker has them all";
  EXPECT_EQ(ports(nullptr, "source_ports = [ 2000, 2000 ];"), "") << "nobody says how many";
}

TEST(EalCheck, knows_when_memory_cannot_be_enough) {
  EXPECT_EQ(
      problems(R"(eal = [ "--vdev=net_ring0", "--no-huge", "-m", "16" ];)"),
      "l.cfg:2: eal[3]: 16 MB of memory without hugepages; the packet buffers of these ports, "
      "workers and capacity.held_packets alone take 52 MB; expected \"-m\" above that\n");
  EXPECT_EQ(problems(R"(eal = [ "--vdev=net_ring0", "-m", "16" ];)"), "")
      << "more hugepages are taken as they are needed";
  EXPECT_EQ(
      problems("eal = [ \"--vdev=net_ring0\", \"--no-huge\" ];\n"
               "capacity = { held_packets = 100000; };"),
      "l.cfg:2: eal[1]: 64 MB of memory without hugepages; the packet buffers of these ports, "
      "workers and capacity.held_packets alone take 236 MB; expected \"-m\" above that\n");
}

}  // namespace
}  // namespace limpet::apps
