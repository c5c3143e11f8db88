// The sniffer itself: which lines it stops at, its limits, its scratch, and bad names.
#include "limpet/http/sniffer.h"

#include <gtest/gtest.h>

#include <thread>

#include "sniffing.h"

namespace limpet::http {
namespace {

using test::bytes;
using test::Compiled;
using test::describe;
using test::sniff;

SnifferSpec headers(std::initializer_list<const char*> names) {
  SnifferSpec spec;
  for (const char* n : names)
    spec.names.push_back({Look::header, n, static_cast<uint16_t>(spec.names.size()), false});
  return spec;
}

TEST(Sniffer, finds_a_header_in_any_case_with_its_whole_line) {
  Compiled c(headers({"X-User"}));
  const std::string head = "HTTP/1.1 200 OK\r\nA: b\r\nx-USER:  one\r\n two \r\nC: d\r\n\r\n";
  const auto hits = sniff(c, head);
  ASSERT_EQ(hits.size(), 1u);
  EXPECT_EQ(test::text(bytes(head), hits[0].line), "x-USER:  one\r\n two \r\n");
  EXPECT_EQ(test::text(bytes(head), hits[0].name), "x-USER");
  EXPECT_EQ(test::text(bytes(head), hits[0].value), "one\r\n two");
  EXPECT_FALSE(hits[0].remove.present());
}

TEST(Sniffer, finds_the_first_and_the_last_line) {
  Compiled c(headers({"A", "Z"}));
  EXPECT_EQ(describe("", {}), "");
  const std::string head = "HTTP/1.1 200 OK\nA:1\nM: 2\nZ:\n\n";
  EXPECT_EQ(describe(head, sniff(c, head)), "A=1 | Z=");
}

TEST(Sniffer, finds_nothing_in_start_line_body_values_and_folded_lines) {
  Compiled c(headers({"A", "HTTP"}));
  EXPECT_TRUE(sniff(c,
                    "HTTP/1.1 200 A:\r\nX: A: b\r\nAA: x\r\nY: z\r\n A: c\r\n\r\n"
                    "A: body\r\n")
                  .empty());
}

TEST(Sniffer, knows_names_that_begin_alike) {
  Compiled c(headers({"X", "X-A", "X-AB"}));
  const std::string head = "GET / HTTP/1.1\r\nX-AB: 1\r\nX-A: 2\r\nX: 3\r\nX-ABC: 4\r\n\r\n";
  const auto hits = sniff(c, head);
  EXPECT_EQ(describe(head, hits), "X-AB=1 | X-A=2 | X=3");
  EXPECT_EQ(hits[0].id, 2);
  EXPECT_EQ(hits[2].id, 0);
}

TEST(Sniffer, gives_hits_in_the_order_of_the_head) {
  Compiled c({{{Look::header, "cookie", 7, false},
               {Look::cookie, "b", 1, false},
               {Look::cookie, "a", 2, false},
               {Look::header, "zz", 3, false}}});
  const std::string head =
      "GET / HTTP/1.1\r\nzz: 1\r\nCookie: a=2; b=3\r\nzz: 4\r\nCookie: b=5\r\n\r\n";
  EXPECT_EQ(describe(head, sniff(c, head)),
            "zz=1 | Cookie=a=2; b=3 | a=2 | b=3 | zz=4 | Cookie=b=5 | b=5");
}

TEST(Sniffer, takes_names_with_characters_that_a_pattern_would_give_a_meaning) {
  Compiled c({{{Look::header, "a.b*c+^$|", 1, false}, {Look::cookie, "x[1].(y)\\", 2, false}}});
  const std::string head =
      "GET / HTTP/1.1\r\naxb*c+^$|: no\r\na.b*c+^$|: yes\r\nCookie: x[1].(y)\\=2\r\n\r\n";
  EXPECT_EQ(describe(head, sniff(c, head)), "a.b*c+^$|=yes | x[1].(y)\\=2");
}

TEST(Sniffer, looks_for_64_names_at_once) {
  SnifferSpec spec;
  std::string head = "GET / HTTP/1.1\r\n";
  std::string expected;
  for (uint16_t i = 0; i < SnifferSpec::kMaxNames; ++i) {
    const std::string name = test::numbered("Header-", i);
    spec.names.push_back({Look::header, name, i, false});
    head += name + ": v\r\n";
    expected += (i == 0 ? "" : " | ") + name + "=v";
  }
  Compiled c(spec);
  EXPECT_EQ(describe(head + "\r\n", sniff(c, head + "\r\n")), expected);
}

TEST(Sniffer, without_names_finds_nothing) {
  Compiled c(SnifferSpec{});
  EXPECT_TRUE(sniff(c, "GET / HTTP/1.1\r\nA: b\r\n\r\n").empty());
  EXPECT_EQ(c.sniffer.database_bytes(), 0u);
}

TEST(Sniffer, tells_when_there_is_no_room_for_all_hits) {
  Compiled c({{{Look::cookie, "a", 1, true}}});
  const std::string head = "GET / HTTP/1.1\r\nCookie: a=1; a=2\r\nCookie: a=3\r\n\r\n";
  const auto b = bytes(head);
  const HeadBounds bounds = test::bounds_of(head);
  for (size_t room = 0; room < 3; ++room) {
    std::vector<Hit> hits(room);
    const ScanResult expected{room, ScanStatus::overflow};
    EXPECT_EQ(c.sniffer.scan(b, bounds, c.scratch, hits), expected);
    EXPECT_EQ(c.sniffer.scan_plain(b, bounds, hits), expected);
  }
  std::vector<Hit> enough(3);
  EXPECT_EQ(c.sniffer.scan(b, bounds, c.scratch, enough), (ScanResult{3, ScanStatus::complete}));
  EXPECT_EQ(test::text(b, enough[2].value), "3");
}

TEST(Sniffer, tells_when_there_are_too_many_lines) {
  Compiled c({{{Look::cookie, "a", 1, false}}});
  for (const size_t lines : {Sniffer::kMaxLines, Sniffer::kMaxLines + 1}) {
    std::string head = "GET / HTTP/1.1\r\n";
    for (size_t i = 0; i < lines; ++i) head += "Cookie: b=1\r\n";
    head += "\r\n";
    std::vector<Hit> hits(8);
    const ScanResult expected{
        0, lines > Sniffer::kMaxLines ? ScanStatus::overflow : ScanStatus::complete};
    const HeadBounds bounds = test::bounds_of(head);
    EXPECT_EQ(c.sniffer.scan(bytes(head), bounds, c.scratch, hits), expected);
    EXPECT_EQ(c.sniffer.scan_plain(bytes(head), bounds, hits), expected);
  }
}

TEST(SnifferScratch, that_fits_nothing_is_reported) {
  Compiled c(headers({"A"}));
  SnifferScratch none;
  std::vector<Hit> hits(1);
  const std::string head = "GET / HTTP/1.1\r\nA: b\r\n\r\n";
  EXPECT_EQ(c.sniffer.scan(bytes(head), test::bounds_of(head), none, hits),
            (ScanResult{0, ScanStatus::scratch_bad}));
}

TEST(SnifferScratch, fits_several_sniffers_and_may_be_made_by_another_thread) {
  Compiled small(headers({"A"}));
  SnifferSpec many;
  for (uint16_t i = 0; i < 64; ++i)
    many.names.push_back({Look::header, test::numbered("Name", i), i, false});
  Compiled large(many);
  SnifferScratch scratch;
  std::thread control([&] {
    EXPECT_TRUE(scratch.fit(small.sniffer).ok());
    EXPECT_TRUE(scratch.fit(large.sniffer).ok());
  });
  control.join();
  std::vector<Hit> hits(8);
  const std::string head = "GET / HTTP/1.1\r\nA: b\r\nName63: c\r\n\r\n";
  const HeadBounds bounds = test::bounds_of(head);
  EXPECT_EQ(small.sniffer.scan(bytes(head), bounds, scratch, hits).hits, 1u);
  EXPECT_EQ(large.sniffer.scan(bytes(head), bounds, scratch, hits).hits, 1u);
  EXPECT_EQ(hits[0].id, 63);
}

TEST(SnifferSpec, refuses_names_that_cannot_be_found) {
  const std::pair<SnifferName, const char*> cases[] = {
      {{Look::header, "", 0, false}, "it is empty"},
      {{Look::header, "a b", 0, false}, "it may not contain the byte 0x20"},
      {{Look::header, "a:b", 0, false}, "it may not contain ':'"},
      {{Look::header, "a\n", 0, false}, "it may not contain the byte 0x0a"},
      {{Look::cookie, "a=b", 0, false}, "it may not contain '='"},
      {{Look::cookie, "a;b", 0, false}, "it may not contain ';'"},
      {{Look::set_cookie, "a,b", 0, false}, "it may not contain ','"},
      {{Look::cookie, "a\"b", 0, false}, "it may not contain '\"'"},
      {{Look::cookie, "\xc3\xa9", 0, false}, "it may not contain the byte 0xc3"},
      {{Look::cookie, "$a", 0, false}, "it may not begin with '$'"},
      {{Look::cookie, std::string(65, 'a'), 0, false}, "it is longer than 64 characters"},
  };
  for (const auto& [name, why] : cases) {
    const auto r = Sniffer::compile({{name}});
    ASSERT_FALSE(r.ok()) << why;
    EXPECT_NE(r.error().find(why), std::string::npos) << r.error();
    EXPECT_NE(r.error().find("'" + name.name + "'"), std::string::npos) << r.error();
  }
}

TEST(SnifferSpec, refuses_a_name_twice_and_too_many) {
  EXPECT_FALSE(Sniffer::compile(headers({"A", "a"})).ok());
  EXPECT_FALSE(
      Sniffer::compile({{{Look::cookie, "a", 1, true}, {Look::cookie, "a", 2, false}}}).ok());
  EXPECT_TRUE(Sniffer::compile({{{Look::cookie, "a", 1, true},
                                 {Look::cookie, "A", 2, false},
                                 {Look::set_cookie, "a", 3, false},
                                 {Look::header, "a", 4, false}}})
                  .ok());
  SnifferSpec many;
  for (uint16_t i = 0; i < 65; ++i)
    many.names.push_back({Look::cookie, test::numbered("c", i), i, false});
  EXPECT_FALSE(Sniffer::compile(many).ok());
}

// A key needs one line, and a client must not fill the room for hits with others.
TEST(Sniffer, of_a_header_that_is_wanted_once_further_lines_are_no_hits) {
  Compiled c({{{.look = Look::header, .name = "X-User", .id = 1, .first = true},
               {.look = Look::header, .name = "Other", .id = 2},
               {.look = Look::cookie, .name = "S", .id = 3}}});
  std::string head = "GET / HTTP/1.1\r\nOther: a\r\n";
  for (size_t i = 0; i < 70; ++i) head += "x-USER: " + test::numbered("v", i) + "\r\n";
  head += "Other: b\r\nCookie: S=c\r\n\r\n";
  EXPECT_EQ(describe(head, sniff(c, head)),
            "Other=a | x-USER=" + test::numbered("v", 0) + " | Other=b | S=c");
}

}  // namespace
}  // namespace limpet::http
