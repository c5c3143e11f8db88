// A head must be framed the same whatever pieces it comes in.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "text.h"

namespace limpet::http::test {

// Feeds `input` whole, byte by byte, and split at every offset; expects the same verdict, head and
// position each time.
template <class Framer, class Head>
void expect_framed(std::string_view input, std::string_view expected, const Framer& fresh) {
  const auto whole = bytes(input);
  Framer framer = fresh;
  Head head;
  ASSERT_EQ(verdict(framer, whole, head), expected);
  const uint32_t position = framer.position();

  for (size_t split = 0; split <= whole.size(); ++split) {
    SCOPED_TRACE("split at " + std::to_string(split));
    Framer pieces = fresh;
    Head found;
    pieces.feed(bytes(input.substr(0, split)), found);
    ASSERT_EQ(verdict(pieces, whole, found), expected);
    ASSERT_EQ(found, head);
    ASSERT_EQ(pieces.position(), position);
  }

  Framer slow = fresh;
  Head found;
  for (size_t size = 0; size < whole.size(); ++size) {
    if (slow.feed(bytes(input.substr(0, size)), found) != Fed::need_more) break;
    ASSERT_EQ(slow.position(), size);
  }
  ASSERT_EQ(verdict(slow, whole, found), expected);
  ASSERT_EQ(found, head);
  ASSERT_EQ(slow.position(), position);
}

}  // namespace limpet::http::test
