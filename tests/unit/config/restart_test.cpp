#include <gtest/gtest.h>

#include "sample.h"

namespace limpet::config {
namespace {

using Differences = std::vector<std::string>;

TEST(RestartNeeded, says_nothing_about_what_a_reload_can_change) {
  Sample wanted;
  wanted.routes = "{ to = \"0.0.0.0/0\"; via = \"10.1.0.1\"; }";
  wanted.pool = "maglev_size = 251; health = { type = \"http\"; };";
  wanted.backends = ", { name = \"s1\"; address = \"10.2.0.11\"; port = 80; }";
  wanted.service = "timeouts = { idle = \"1m\"; };";
  wanted.more = ", { name = \"b\"; vip = \"10.1.0.101\"; port = 80; pool = \"web\"; }";
  EXPECT_EQ(restart_needed(Sample().document(), wanted.document()), Differences{});
}

TEST(RestartNeeded, names_each_setting_of_the_process) {
  Sample wanted;
  wanted.process =
      "eal = [ \"--no-huge\" ]; poll = \"spin\"; capacity = { flows = 2048; held_packets = 64; };";
  EXPECT_EQ(restart_needed(Sample().document(), wanted.document()),
            (Differences{"eal runs with [], the file says [--no-huge]",
                         "poll runs as \"adaptive\", the file says \"spin\"",
                         "capacity.flows is 1000000, the file says 2048",
                         "capacity.held_packets is 16384, the file says 64"}));
}

TEST(RestartNeeded, names_what_changed_of_a_port) {
  const Document running = Sample().document();
  Document wanted = running;
  wanted.ports[0].device = "net_ring7";
  wanted.ports[0].mtu = 9000;
  wanted.ports[1].addresses.resize(1);
  EXPECT_EQ(restart_needed(running, wanted),
            (Differences{"port \"front\" runs on device net_ring0, the file says net_ring7",
                         "port \"front\" runs with mtu 1500, the file says 9000",
                         "port \"back\" runs with addresses 10.2.0.254/24, 10.2.0.253/24, "
                         "fd00:2::254/64, the file says 10.2.0.254/24"}));
}

TEST(RestartNeeded, names_ports_that_come_go_or_move) {
  const Document running = Sample().document();
  Document wanted = running;
  wanted.ports[1].name = "rear";
  EXPECT_EQ(restart_needed(running, wanted),
            (Differences{"port \"back\" is running, the file has none of that name",
                         "port \"rear\" is new in the file"}));
  wanted = running;
  std::swap(wanted.ports[0], wanted.ports[1]);
  EXPECT_EQ(restart_needed(running, wanted),
            Differences{"the ports are in another order in the file"});
}

Sample learning(const std::string& port, const std::string& table) {
  Sample s;
  s.more = ", { name = \"app\"; vip = \"10.1.0.100\"; port = " + port +
           "; pool = \"web\"; mode = \"splice\"; table = " + table +
           "; persistence = ( { type = \"cookie\"; session_name = \"ID\"; mode = \"learn\"; } ); }";
  return s;
}

TEST(RestartNeeded, for_no_change_of_mode) {
  Sample spliced;
  spliced.service = "mode = \"splice\";";
  const Document nat = Sample().document(), one = spliced.document();
  EXPECT_EQ(restart_needed(nat, one), Differences{}) << "the first that splices";
  EXPECT_EQ(restart_needed(one, nat), Differences{});
  spliced.more =
      ", { name = \"b\"; vip = \"10.1.0.101\"; port = 80; pool = \"web\"; mode = \"splice\"; }";
  EXPECT_EQ(restart_needed(one, spliced.document()), Differences{});
  spliced.service = "";
  EXPECT_EQ(restart_needed(one, spliced.document()), Differences{})
      << "one goes back to nat, another splices";
}

TEST(RestartNeeded, for_another_size_of_a_table_but_not_for_its_other_settings) {
  const Document running = learning("81", "{ size = 1000; }").document();
  EXPECT_EQ(restart_needed(running, learning("81", "{ size = 2000; }").document()),
            Differences{"the table of service \"app\" has 1000 entries, the file says 2000"});
  EXPECT_EQ(restart_needed(running, learning("81",
                                             "{ size = 1000; expire = \"1h\"; "
                                             "when_full = \"refuse\"; }")
                                        .document()),
            Differences{});
  EXPECT_EQ(restart_needed(running, learning("82", "{ size = 2000; }").document()), Differences{})
      << "another service";
}

TEST(RestartNeeded, not_for_cookies_and_what_else_splice_has) {
  Sample before, after;
  before.service = "mode = \"splice\";";
  after.service =
      "mode = \"splice\"; persistence = ( { type = \"cookie\"; session_name = \"A\"; },"
      "{ type = \"source\"; } ); table = { size = 100; }; forwarded = \"proxy-v2\"; "
      "on_no_backend = \"reset\"; redispatch = false; session_log = true; "
      "limits = { head_bytes = \"1k\"; };";
  after.process = "cookie_keys = { file = \"/run/keys\"; };\n";
  EXPECT_EQ(restart_needed(before.document(), after.document()), Differences{});
  EXPECT_EQ(restart_needed(after.document(), before.document()), Differences{});
}

}  // namespace
}  // namespace limpet::config
