#include "limpet/affinity/header.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "limpet/affinity/source.h"

namespace limpet::affinity {
namespace {

// As HAProxy 2.6 cuts a value (http_find_hdr_value_end), tried there by the lab's comparison.
TEST(HeaderKey, is_the_first_element_without_the_blanks_around_it) {
  EXPECT_EQ(header_key("17"), "17");
  EXPECT_EQ(header_key("17,18"), "17");
  EXPECT_EQ(header_key("  17 \t, 18"), "17");
  EXPECT_EQ(header_key("a b"), "a b") << "blanks within belong to it";
  EXPECT_EQ(header_key("a;b=c"), "a;b=c");
  EXPECT_EQ(header_key("\"a,b\",c"), "\"a,b\"") << "no comma of a quoted string";
  EXPECT_EQ(header_key("\"a\\\",b\",c"), "\"a\\\",b\"") << "nor a quote that a backslash takes";
  EXPECT_EQ(header_key("\"open, never closed"), "\"open, never closed");
  EXPECT_EQ(header_key("a\\,b"), "a\\") << "outside of quotes a backslash is a character";
  EXPECT_EQ(header_key("\"a\\"), "\"a\\") << "and at the end it takes nothing";
}

TEST(HeaderKey, is_empty_where_nothing_stands_in_front_of_the_first_comma) {
  for (const char* value : {"", " ", "\t", ",", " ,17", ",,", " \t , a"})
    EXPECT_EQ(hash_key(header_key(value)), std::nullopt) << '"' << value << '"';
  EXPECT_NE(hash_key(header_key("\"\"")), std::nullopt) << "two quotes are a value";
}

TEST(HeaderKey, counts_whole_whatever_its_length) {
  std::set<uint64_t> hashes;
  for (const size_t length : {1u, 255u, 256u, 257u, 8192u, 8193u, 16000u})
    hashes.insert(*hash_key(header_key(std::string(length, 'x'))));
  EXPECT_EQ(hashes.size(), 7u);
  EXPECT_NE(hash_key(std::string(8192, 'x')), hash_key(std::string(8191, 'x') + "y"));
  EXPECT_NE(hash_key("a"), hash_key("A")) << "values differ by case";
}

// All nodes agree, and an update moves nobody: other numbers here move every client.
TEST(HeaderHash, is_the_same_for_ever) {
  EXPECT_EQ(*hash_key("17"), 17528254355365150115u);
  EXPECT_EQ(hash_header(seed_of("web"), *hash_key("17")), 7042292889200484425u);
  EXPECT_NE(hash_header(seed_of("web"), *hash_key("17")),
            hash_header(seed_of("api"), *hash_key("17")));
}

}  // namespace
}  // namespace limpet::affinity
