// Cookie persistence, stick tables and the key file of a valid configuration. What is refused
// stands in config/invalid.
#include <gtest/gtest.h>

#include "sample.h"

namespace limpet::config {
namespace {

using namespace std::chrono_literals;

Sample with(const std::string& entries, const std::string& more = "") {
  Sample s;
  s.service = "mode = \"splice\"; persistence = ( " + entries + " ); " + more;
  return s;
}

CookieSettings cookie(const std::string& settings, const std::string& more = "") {
  const Document d =
      with("{ type = \"cookie\"; session_name = \"SRV\"; " + settings + " }", more).document();
  EXPECT_EQ(d.services[0].persistence.size(), 1u);
  return std::get<CookieSettings>(d.services[0].persistence[0]);
}

std::string problems(const std::string& settings) {
  return with("{ type = \"cookie\"; session_name = \"SRV\"; " + settings + " }").problems();
}

TEST(Cookie, is_by_default_inserted_sealed_and_hidden_from_backends_and_scripts) {
  const CookieSettings c = cookie("");
  EXPECT_EQ(c.mode, CookieMode::insert);
  EXPECT_EQ(c.name, "SRV");
  EXPECT_TRUE(c.sealed);
  EXPECT_FALSE(c.permanent);
  EXPECT_EQ(c.idle_timeout, 0u);
  EXPECT_EQ(c.absolute_timeout, 0u);
  EXPECT_TRUE(c.indirect);
  EXPECT_TRUE(c.no_cache);
  EXPECT_FALSE(c.preserve);
  EXPECT_FALSE(c.post_only);
  EXPECT_EQ(c.path, "/");
  EXPECT_TRUE(c.domains.empty());
  EXPECT_TRUE(c.http_only);
  EXPECT_FALSE(c.secure);
  EXPECT_EQ(c.same_site, SameSite::unset);
  EXPECT_TRUE(c.attributes.empty());
}

TEST(Cookie, keeps_every_value_given) {
  const CookieSettings c = cookie(
      "mode = \"insert\"; value = \"plain\"; lifetime = \"permanent\"; idle_timeout = \"30m\";"
      "absolute_timeout = \"8h\"; indirect = false; no_cache = false; preserve = true;"
      "post_only = true; path = \"/app\"; domain = [ \"example.org\", \".example.net\" ];"
      "http_only = false; secure = true; same_site = \"Strict\";"
      "attributes = [ \"Partitioned\", \"Priority=High\" ];");
  EXPECT_EQ(c.mode, CookieMode::insert);
  EXPECT_FALSE(c.sealed);
  EXPECT_TRUE(c.permanent);
  EXPECT_EQ(c.idle_timeout, 1800u);
  EXPECT_EQ(c.absolute_timeout, 28800u);
  EXPECT_FALSE(c.indirect);
  EXPECT_FALSE(c.no_cache);
  EXPECT_TRUE(c.preserve);
  EXPECT_TRUE(c.post_only);
  EXPECT_EQ(c.path, "/app");
  EXPECT_EQ(c.domains, (std::vector<std::string>{"example.org", ".example.net"}));
  EXPECT_FALSE(c.http_only);
  EXPECT_TRUE(c.secure);
  EXPECT_EQ(c.same_site, SameSite::strict);
  EXPECT_EQ(c.attributes, (std::vector<std::string>{"Partitioned", "Priority=High"}));
}

TEST(Cookie, that_somebody_else_sets_has_only_a_name_and_a_value) {
  for (const auto& [word, mode] :
       {std::pair{"rewrite", CookieMode::rewrite}, std::pair{"prefix", CookieMode::prefix},
        std::pair{"learn", CookieMode::learn}}) {
    const CookieSettings c = cookie(std::string("mode = \"") + word + "\";",
                                    mode == CookieMode::learn ? "table = {};" : "");
    EXPECT_EQ(c.mode, mode);
    EXPECT_FALSE(c.indirect) << word;
    EXPECT_FALSE(c.no_cache) << word;
    EXPECT_FALSE(c.http_only) << word;
    EXPECT_EQ(c.path, "") << word;
    EXPECT_EQ(c.same_site, SameSite::unset) << word;
  }
  EXPECT_FALSE(cookie("mode = \"rewrite\"; value = \"plain\";").sealed);
  EXPECT_TRUE(cookie("mode = \"prefix\"; value = \"sealed\";").sealed);
}

TEST(Cookie, settings_that_say_nothing_are_true_in_every_mode) {
  EXPECT_EQ(problems("mode = \"rewrite\"; indirect = false; no_cache = false; preserve = false;"
                     "post_only = false; http_only = false; secure = false; domain = \"\";"
                     "same_site = \"\"; attributes = []; idle_timeout = \"0s\";"
                     "absolute_timeout = \"0\";"),
            "");
  EXPECT_EQ(problems("mode = \"prefix\"; domain = [];"), "");
  for (const char* wrong : {"indirect = \"\";", "attributes = \"\";", "same_site = [];",
                            "idle_timeout = false;", "path = \"\";", "lifetime = \"\";"})
    EXPECT_NE(problems(std::string("mode = \"rewrite\"; ") + wrong), "") << wrong;
}

TEST(Cookie, same_site_has_each_value_of_browsers_and_none_at_all) {
  EXPECT_EQ(cookie("same_site = \"Lax\";").same_site, SameSite::lax);
  EXPECT_EQ(cookie("same_site = \"\";").same_site, SameSite::unset);
  EXPECT_EQ(cookie("same_site = \"None\"; secure = true;").same_site, SameSite::none);
}

TEST(Cookie, one_domain_needs_no_list) {
  EXPECT_EQ(cookie("domain = \"a.example.org\";").domains,
            std::vector<std::string>{"a.example.org"});
  EXPECT_TRUE(cookie("domain = \"\";").domains.empty());
  EXPECT_TRUE(cookie("domain = [];").domains.empty());
}

TEST(Cookie, domains_are_names_of_labels) {
  const auto of = [](const std::string& domain) {
    return problems("domain = \"" + domain + "\";");
  };
  EXPECT_EQ(of(std::string(63, 'a') + ".org"), "");
  EXPECT_NE(of(std::string(64, 'a') + ".org"), "");
  std::string longest;
  for (int i = 0; i < 126; ++i) longest += "a.";
  EXPECT_EQ(of(longest + "b"), "");
  EXPECT_NE(of(longest + "bc"), "");
  for (const char* wrong : {".", "..", "..a.b", "a.b.", "a b.c", "a.b:80", "org", ".org"})
    EXPECT_NE(of(wrong), "") << wrong;
}

TEST(Cookie, names_are_tokens) {
  for (const std::string& name :
       {std::string("a"), std::string("!#%&'*+-.^_`|~$0Az"), std::string(64, 'n')}) {
    const std::string text = "{ type = \"cookie\"; session_name = \"" + name + "\"; }";
    EXPECT_EQ(with(text).document().services[0].persistence.size(), 1u) << name;
  }
}

TEST(Cookie, browsers_prefixes_are_fine_with_what_they_ask_for) {
  for (const char* entry :
       {"session_name = \"__Host-S\"; secure = true;",
        "session_name = \"__Secure-S\"; secure = true; path = \"/a\"; domain = \"a.b\";",
        // Somebody else's attributes are somebody else's to know.
        "session_name = \"__Host-S\"; mode = \"prefix\";", "session_name = \"__HostS\";"})
    EXPECT_EQ(with(std::string("{ type = \"cookie\"; ") + entry + " }").problems(), "") << entry;
}

TEST(Cookie, times_are_as_fine_as_the_value_can_tell) {
  EXPECT_EQ(cookie("idle_timeout = \"60s\"; absolute_timeout = \"365d\";").idle_timeout, 60u);
  EXPECT_EQ(cookie("value = \"plain\"; idle_timeout = \"1s\";").idle_timeout, 1u);
  EXPECT_EQ(cookie("idle_timeout = \"1h\"; absolute_timeout = \"1h\";").absolute_timeout, 3600u);
  EXPECT_EQ(cookie("idle_timeout = \"0s\"; absolute_timeout = \"0\";").absolute_timeout, 0u);
  EXPECT_TRUE(cookie("lifetime = \"permanent\"; idle_timeout = \"1h\";").permanent);
  EXPECT_TRUE(cookie("lifetime = \"permanent\"; absolute_timeout = \"1h\";").permanent);
}

TEST(Cookie, its_text_in_a_response_is_limited) {
  // "; path=/; HttpOnly" has 18 bytes, each attribute two more than itself.
  const auto of = [](int last) {
    const auto text = [](char c, int n) {
      return '"' + std::string(static_cast<size_t>(n), c) + '"';
    };
    return problems("attributes = [ " + text('a', 128) + ", " + text('b', 128) + ", " +
                    text('c', 128) + ", " + text('d', 128) + ", " + text('e', last) + " ];");
  };
  EXPECT_EQ(of(100), "");
  EXPECT_EQ(of(101),
            "services[0].persistence[0]: path, domain and attributes come to 641 bytes in "
            "Set-Cookie; expected at most 640\n");
}

TEST(CookieList, may_have_several_cookies_and_the_source_behind_them) {
  const Document d = with(
                         "{ type = \"cookie\"; session_name = \"A\"; },"
                         "{ type = \"cookie\"; session_name = \"a\"; value = \"plain\"; },"
                         "{ type = \"cookie\"; session_name = \"B\"; mode = \"rewrite\"; },"
                         "{ type = \"cookie\"; session_name = \"C\"; mode = \"learn\"; },"
                         "{ type = \"source\"; prefix4 = 24; }",
                         "table = {};")
                         .document();
  const auto& list = d.services[0].persistence;
  ASSERT_EQ(list.size(), 5u);
  EXPECT_EQ(std::get<CookieSettings>(list[1]).name, "a") << "case matters";
  EXPECT_EQ(std::get<CookieSettings>(list[3]).mode, CookieMode::learn);
  EXPECT_EQ(std::get<SourceSettings>(list[4]).prefix4, 24);
}

TEST(CookieList, a_name_may_come_again_in_another_service) {
  Sample s = with("{ type = \"cookie\"; session_name = \"A\"; }");
  s.more =
      ", { name = \"b\"; vip = \"10.1.0.100\"; port = 81; pool = \"web\"; mode = \"splice\";"
      "persistence = ( { type = \"cookie\"; session_name = \"A\"; } ); }";
  EXPECT_EQ(s.problems(), "");
}

TEST(StickTable, is_there_only_when_asked_for) {
  EXPECT_EQ(with("{ type = \"cookie\"; session_name = \"A\"; }, { type = \"source\"; }")
                .document()
                .services[0]
                .table.size,
            0u);
}

TEST(StickTable, has_defaults_and_keeps_what_is_given) {
  const std::string entries = "{ type = \"cookie\"; session_name = \"A\"; mode = \"learn\"; }";
  const Table table = with(entries, "table = {};").document().services[0].table;
  EXPECT_EQ(table.size, 1000000u);
  EXPECT_EQ(table.expire, 30min);
  EXPECT_EQ(table.when_full, Table::WhenFull::evict);
  const Table given =
      with(entries,
           "table = { size = 16; expire = \"1s\"; when_full = \"refuse\"; store = \"local\"; };")
          .document()
          .services[0]
          .table;
  EXPECT_EQ(given.size, 16u);
  EXPECT_EQ(given.expire, 1s);
  EXPECT_EQ(given.when_full, Table::WhenFull::refuse);
  EXPECT_EQ(with(entries, "table = { size = 67108864; expire = \"365d\"; when_full = \"evict\"; };")
                .document()
                .services[0]
                .table.size,
            1u << 26);
}

TEST(StickTable, serves_first_pins_of_cookies_with_the_source_behind_them) {
  EXPECT_EQ(with("{ type = \"cookie\"; session_name = \"A\"; }, { type = \"source\"; }",
                 "table = { size = 100; };")
                .problems(),
            "");
}

TEST(StickTable, is_not_called_useless_when_the_list_beside_it_cannot_be_read) {
  EXPECT_EQ(with("{ type = \"cookie\"; session_name = \"A\"; mode = \"lern\"; }", "table = {};")
                .problems(),
            "services[0].persistence[0].mode: \"lern\" is unknown; expected \"insert\", "
            "\"rewrite\", \"prefix\" or \"learn\"\n");
}

TEST(CookieKeys, have_a_file_when_a_service_seals) {
  Sample s = with("{ type = \"cookie\"; session_name = \"A\"; }");
  EXPECT_EQ(s.document().cookie_keys_file, "/etc/limpet/cookie.keys");
  EXPECT_EQ(s.document().cookie_keys_place.line, 0) << "a default stands nowhere";
  s.process = "cookie_keys = {};\n";
  EXPECT_EQ(s.document().cookie_keys_file, "/etc/limpet/cookie.keys");
  s.process = "cookie_keys = {\n file = \"/run/a b.keys\"; };\n";
  EXPECT_EQ(s.document().cookie_keys_file, "/run/a b.keys");
  EXPECT_GT(s.document().cookie_keys_place.line, 1);
  EXPECT_EQ(with("{ type = \"cookie\"; session_name = \"A\"; mode = \"prefix\"; }")
                .document()
                .cookie_keys_file,
            "/etc/limpet/cookie.keys");
}

TEST(CookieKeys, have_none_when_nothing_seals) {
  Sample s;
  s.process = "cookie_keys = { file = \"/run/keys\"; };\n";
  EXPECT_EQ(s.document().cookie_keys_file, "");
  for (const char* entry :
       {"{ type = \"cookie\"; session_name = \"A\"; value = \"plain\"; }",
        "{ type = \"cookie\"; session_name = \"A\"; mode = \"learn\"; }", "{ type = \"source\"; }"})
    EXPECT_EQ(
        with(entry, std::string(entry).find("learn") != std::string::npos ? "table = {};" : "")
            .document()
            .cookie_keys_file,
        "")
        << entry;
}

TEST(CookieKeys, paths_are_absolute_and_of_a_length_that_the_kernel_takes) {
  const auto of = [](const std::string& file) {
    Sample s;
    s.process = "cookie_keys = { file = \"" + file + "\"; };\n";
    return s.problems();
  };
  EXPECT_EQ(of("/" + std::string(4094, 'k')), "");
  EXPECT_NE(of("/" + std::string(4095, 'k')), "");
  for (const char* wrong : {"", "keys", "./keys", "/", "/run/", "/run/a\\nb"})
    EXPECT_NE(of(wrong), "") << wrong;
}

}  // namespace
}  // namespace limpet::config
