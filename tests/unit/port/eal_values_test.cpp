#include "limpet/port/eal_values.h"

#include <gtest/gtest.h>

#include "plan.h"

namespace limpet::port {
namespace {

using Words = std::vector<std::string>;

std::string faults(const Words& words) {
  const auto options = merge_eal_options(words, {});
  EXPECT_FALSE(options.empty());
  std::string text;
  for (const EalFault& f : check_eal_values(options))
    text += std::to_string(f.option) + ": " + f.text + "\n";
  return text;
}

std::optional<unsigned> workers(const Words& words) {
  return worker_count(merge_eal_options(words, {}));
}

TEST(Lcores, are_counted_as_the_eal_counts_them) {
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
  };
  for (const auto& c : cases) {
    EXPECT_EQ(faults({c.option, c.value}), "") << c.value;
    EXPECT_EQ(workers({c.option, c.value}), c.workers) << c.value;
  }
}

TEST(Lcores, that_the_eal_cannot_read_are_refused) {
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
  EXPECT_EQ(faults({"-l", "128"}).substr(0, 32), "0: -l cannot be '128'; expected ");
}

TEST(Lcores, must_leave_a_worker_and_not_too_many) {
  EXPECT_EQ(faults({"-l", "5"}),
            "0: no worker: the only lcore of '5' runs the control loop; expected at least one "
            "lcore more, such "
            "as \"--lcores\", \"0@0,1@1\" (\"0@0,1@0\" shares a CPU)\n");
  EXPECT_EQ(faults({"-l", "0-64"}), "");
  EXPECT_EQ(faults({"-l", "0-65"}), "0: 65 workers; expected at most 64, and one lcore more\n");
}

TEST(Lcores, of_masks_and_services_are_for_the_eal_to_count) {
  EXPECT_EQ(workers({"-c", "0x3"}), std::nullopt);
  EXPECT_EQ(workers({"-l", "0-3", "-S", "2-3"}), std::nullopt);
  EXPECT_EQ(workers({"-l", "0-3", "-s", "0xc"}), std::nullopt);
  EXPECT_EQ(faults({"-c", "0x1"}), "");
}

TEST(Lcores, may_have_a_main_one_of_their_own) {
  EXPECT_EQ(workers({"-l", "0-2", "--main-lcore", "1"}), 2u);
}

TEST(Lcores, are_up_to_the_machine_when_nobody_says) {
  EXPECT_EQ(workers({"--no-huge"}), std::nullopt);
  EXPECT_EQ(faults({"--no-huge"}), "");
}

TEST(EalMemory, is_a_whole_number) {
  for (const char* right : {"1", "512", "524288"}) EXPECT_EQ(faults({"-m", right}), "") << right;
  for (const char* wrong : {"0", "abc", "512x", "512MB", "524289", ""})
    EXPECT_EQ(faults({"-m", wrong}), "0: -m cannot be '" + std::string(wrong) +
                                         "'; expected whole megabytes from 1 to 524288, such as "
                                         "\"512\"\n");
}

TEST(EalValues, that_end_the_process_are_for_the_command_line) {
  EXPECT_TRUE(check_eal_values(merge_eal_options({}, {"--help"})).empty());
  for (const Words& words : {Words{"--help"}, Words{"--log-level", "help"}})
    EXPECT_EQ(faults(words), "0: " + words[0] +
                                 " makes the EAL print a text and end; expected it on the command "
                                 "line only\n");
}

TEST(EalValues, that_belong_to_no_option_are_refused) {
  EXPECT_EQ(faults({"--no-huge", "1", "2"}),
            "1: '2' belongs to no option; expected EAL options and their values\n");
}

TEST(EalValues, of_other_options_are_for_the_eal_to_judge) {
  EXPECT_EQ(faults({"--no-such", "--iova-mode=dc", "--no-huge", "--socket-mem", "x"}), "");
}

TEST(LeastMemory, is_below_what_any_nic_needs) {
  const uint64_t least = least_memory(2, 1, 4096, 1500);
  EXPECT_GT(least, 4096u * 2048);
  EXPECT_LT(least, mbufs_needed({{{1, 64, 1, 64}}, 2, 4096}) * uint64_t{2048 + 128 + 128 + 64});
  EXPECT_GT(least_memory(2, 1, 4096, 9000), 3 * least);
}

}  // namespace
}  // namespace limpet::port
