#include "limpet/port/eal_args.h"

#include <gtest/gtest.h>

namespace limpet::port {
namespace {

using Words = std::vector<std::string>;

Words merged(const Words& configured, const Words& given) {
  return merge_eal_arguments(configured, given);
}

TEST(CommandLine, splits_at_the_first_double_dash) {
  const Words words{"--lcores", "0@0,1@1", "--", "--config", "a.cfg", "--", "x"};
  const CommandLine line = split_command_line(words);
  EXPECT_TRUE(line.separated);
  EXPECT_EQ(line.eal, (Words{"--lcores", "0@0,1@1"}));
  EXPECT_EQ(line.own, (Words{"--config", "a.cfg", "--", "x"}));
}

TEST(CommandLine, belongs_to_limpet_without_a_double_dash) {
  const Words words{"--config", "a.cfg"};
  const CommandLine line = split_command_line(words);
  EXPECT_FALSE(line.separated);
  EXPECT_TRUE(line.eal.empty());
  EXPECT_EQ(line.own, words);
}

TEST(CommandLine, may_be_empty_on_either_side) {
  EXPECT_TRUE(split_command_line(Words{}).own.empty());
  const CommandLine only = split_command_line(Words{"--"});
  EXPECT_TRUE(only.separated);
  EXPECT_TRUE(only.eal.empty());
  EXPECT_TRUE(only.own.empty());
}

TEST(EalArguments, configured_ones_stand_when_nothing_is_given) {
  const Words configured{"--lcores", "0@0,1@1", "--no-huge", "-m", "512"};
  EXPECT_EQ(merged(configured, {}), configured);
}

TEST(EalArguments, given_ones_stand_when_nothing_is_configured) {
  const Words given{"-l", "0-3", "--file-prefix=a"};
  EXPECT_EQ(merged({}, given), given);
  EXPECT_EQ(merged({}, {}), Words{});
}

TEST(EalArguments, a_given_core_option_removes_every_configured_one) {
  for (const char* form : {"-l", "-c", "--lcores", "-s", "-S"})
    EXPECT_EQ(merged({"--lcores", "0@0,1@1", "-s", "2", "-S", "3", "-l0-1", "-c=3", "-n", "4"},
                     {form, "7"}),
              (Words{"-n", "4", form, "7"}))
        << form;
}

TEST(EalArguments, new_cores_take_the_old_main_core_away) {
  EXPECT_EQ(merged({"--lcores=0@0,1@1", "--main-lcore", "1"}, {"-l", "4-6"}), (Words{"-l", "4-6"}));
}

TEST(EalArguments, a_new_main_core_leaves_the_cores) {
  EXPECT_EQ(merged({"--lcores=0@0,1@1", "--main-lcore", "1"}, {"--main-lcore=0"}),
            (Words{"--lcores=0@0,1@1", "--main-lcore=0"}));
}

TEST(EalArguments, memory_is_one_group) {
  EXPECT_EQ(merged({"-m", "512", "--no-pci"}, {"-m1024"}), (Words{"--no-pci", "-m1024"}));
  EXPECT_EQ(merged({"--socket-mem", "512,512"}, {"-m", "64"}), (Words{"-m", "64"}));
  EXPECT_EQ(merged({"-m", "64"}, {"--socket-mem=512"}), (Words{"--socket-mem=512"}));
}

TEST(EalArguments, hugepages_and_no_hugepages_exclude_each_other) {
  EXPECT_EQ(
      merged({"--huge-dir", "/mnt/huge", "--huge-unlink", "--in-memory", "--socket-mem", "64"},
             {"--no-huge"}),
      (Words{"--no-huge"}));
  EXPECT_EQ(merged({"--no-huge", "-m", "64"}, {"--huge-dir=/mnt/huge"}),
            (Words{"-m", "64", "--huge-dir=/mnt/huge"}));
  EXPECT_EQ(merged({"--no-huge"}, {"--socket-mem", "64"}), (Words{"--socket-mem", "64"}));
  EXPECT_EQ(merged({"--huge-dir", "/a", "--in-memory"}, {"--huge-dir", "/b"}),
            (Words{"--in-memory", "--huge-dir", "/b"}));
  EXPECT_EQ(merged({"--no-huge", "-m", "64"}, {"-m", "128"}), (Words{"--no-huge", "-m", "128"}));
}

TEST(EalArguments, device_lists_are_one_group) {
  EXPECT_EQ(merged({"-a", "0000:03:00.0", "--allow=0000:03:00.1", "-n", "4"}, {"-b", "03:00.2"}),
            (Words{"-n", "4", "-b", "03:00.2"}));
  EXPECT_EQ(merged({"--no-pci"}, {"-a", "03:00.0", "-a", "03:00.1"}),
            (Words{"-a", "03:00.0", "-a", "03:00.1"}));
}

TEST(EalArguments, a_vdev_replaces_only_the_one_of_its_name) {
  EXPECT_EQ(merged({"--vdev=net_af_packet0,iface=l0", "--vdev", "net_af_packet1,iface=l1"},
                   {"--vdev", "net_af_packet1,iface=eth7"}),
            (Words{"--vdev=net_af_packet0,iface=l0", "--vdev", "net_af_packet1,iface=eth7"}));
  EXPECT_EQ(merged({"--vdev=net_null10"}, {"--vdev=net_null1"}),
            (Words{"--vdev=net_null10", "--vdev=net_null1"}));
}

TEST(EalArguments, log_levels_and_drivers_add_up) {
  EXPECT_EQ(merged({"--log-level=lib.eal:debug", "-d", "a.so"},
                   {"--log-level", "pmd.*:info", "-d", "b.so"}),
            (Words{"--log-level=lib.eal:debug", "-d", "a.so", "--log-level", "pmd.*:info", "-d",
                   "b.so"}));
}

TEST(EalArguments, other_options_replace_themselves) {
  EXPECT_EQ(merged({"--file-prefix", "a", "-n", "4"}, {"--file-prefix=b"}),
            (Words{"-n", "4", "--file-prefix=b"}));
  EXPECT_EQ(merged({"--no-telemetry"}, {"--telemetry"}), (Words{"--telemetry"}));
}

TEST(EalArguments, an_optional_value_stands_only_behind_the_equals_sign) {
  EXPECT_EQ(merged({"--huge-unlink=never", "-n", "4"}, {"--huge-unlink", "-n", "2"}),
            (Words{"--huge-unlink", "-n", "2"}));
}

TEST(EalArguments, which_options_there_are_is_for_the_eal_to_say) {
  EXPECT_EQ(merged({"--no-such", "1", "-n", "4", "-x"}, {"--no-such=2"}),
            (Words{"-n", "4", "-x", "--no-such=2"}));
}

TEST(EalArguments, tell_the_word_of_a_value_and_of_what_is_no_option) {
  const auto options =
      merge_eal_options({"--lcores", "0-1", "-m64", "--no-huge", "1", "2", "-"}, {"3"});
  std::string text;
  for (const EalOption& o : options)
    text += o.name + "=" + o.value + "@" + (o.configured ? std::to_string(*o.configured) : "line") +
            " ";
  EXPECT_EQ(text, "lcores=0-1@1 m=64@2 no-huge=1@4 =@5 =@6 =@line ");
}

TEST(EalArguments, tell_the_file_prefix) {
  EXPECT_EQ(file_prefix({}), "rte");
  EXPECT_EQ(file_prefix({"--no-huge", "--file-prefix", "lab"}), "lab");
  EXPECT_EQ(file_prefix({"--file-prefix=a", "--file-prefix=b"}), "b");
}

TEST(EalArguments, tell_options_under_any_spelling) {
  EXPECT_TRUE(has_option({"--no-huge"}, "no-huge"));
  EXPECT_FALSE(has_option({"--no-pci"}, "no-huge"));
  EXPECT_EQ(option_values({"--allow=03:00.0", "-a03:00.1", "-a", "03:00.2"}, "a"),
            (Words{"03:00.0", "03:00.1", "03:00.2"}));
}

TEST(EalArguments, tell_the_arguments_of_a_vdev) {
  const Words eal{"--vdev=net_af_packet0,iface=l0,qpairs=2", "--vdev", "net_null0"};
  const VdevArguments packet = vdev_arguments(eal, "net_af_packet0");
  ASSERT_TRUE(packet.found);
  ASSERT_EQ(packet.pairs.size(), 2u);
  ASSERT_NE(packet.find("iface"), nullptr);
  EXPECT_EQ(*packet.find("iface"), "l0");
  EXPECT_EQ(*packet.find("qpairs"), "2");
  EXPECT_EQ(packet.find("framesz"), nullptr);
  EXPECT_TRUE(vdev_arguments(eal, "net_null0").found);
  EXPECT_TRUE(vdev_arguments(eal, "net_null0").pairs.empty());
  EXPECT_FALSE(vdev_arguments(eal, "net_af_packet").found);
}

}  // namespace
}  // namespace limpet::port
