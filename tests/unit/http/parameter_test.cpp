// Parameters of request targets, in the query and in the path.
#include "limpet/http/parameter.h"

#include <gtest/gtest.h>

#include "text.h"

namespace limpet::http {
namespace {

using test::bytes;

struct ParameterCase {
  const char* says;
  std::string_view target;
  Parameters where;
  std::string_view expected;
};
void PrintTo(const ParameterCase& c, std::ostream* out) {
  *out << c.says;
}

class Parameter : public testing::TestWithParam<ParameterCase> {};
TEST_P(Parameter, is_found) {
  // The target stands in a head, and what is around it is not looked at.
  const std::string before = "GET ;id=before?id=before&";
  const auto b = bytes(before + std::string(GetParam().target) + "&id=behind");
  const auto begin = static_cast<uint32_t>(before.size());
  const Range target{begin, begin + static_cast<uint32_t>(GetParam().target.size())};
  EXPECT_EQ(test::text(b, find_parameter(b, target, "id", GetParam().where)), GetParam().expected);
}

constexpr ParameterCase kCases[] = {
    {"the only one", "/?id=1", Parameters::query, "1"},
    {"the second", "/?a=b&id=1&c=d", Parameters::query, "1"},
    {"behind a semicolon", "/?a=b;id=1;c", Parameters::query, "1"},
    {"behind a second question mark", "/?a=b?id=1?c", Parameters::query, "1"},
    {"the first of two", "/?id=1&id=2", Parameters::query, "1"},
    {"empty", "/?id=&a=b", Parameters::query, ""},
    {"empty at the end", "/?id=", Parameters::query, ""},
    {"with an equal sign", "/?id=a=b", Parameters::query, "a=b"},
    {"not decoded", "/?id=a%20b+c", Parameters::query, "a%20b+c"},
    {"without an equal sign", "/?id&a=b", Parameters::query, "(absent)"},
    {"a longer name", "/?xid=1&idx=2", Parameters::query, "(absent)"},
    {"another case", "/?ID=1", Parameters::query, "(absent)"},
    {"in the path only", "/id=1", Parameters::query, "(absent)"},
    {"no query", "/", Parameters::query, "(absent)"},
    {"an empty query", "/?", Parameters::query, "(absent)"},
    {"the name cut short", "/?i", Parameters::query, "(absent)"},
    {"a path parameter is none of the query", "/;id=1?a=b", Parameters::query, "(absent)"},
    {"of an absolute target", "http://h/?id=1", Parameters::query, "1"},
    {"in the path", "/a;id=1", Parameters::path, "1"},
    {"in the path before a query", "/a;id=1?id=2", Parameters::path, "1"},
    {"the second in the path", "/a;x=y;id=1;z", Parameters::path, "1"},
    {"in an early segment", "/a;id=1/b", Parameters::path, "1"},
    {"in a late segment", "/a;x=y/b;id=1", Parameters::path, "1"},
    {"in the query only", "/a?;id=1", Parameters::path, "(absent)"},
    {"a segment is no parameter", "/id=1", Parameters::path, "(absent)"},
    {"no path parameters", "/a", Parameters::path, "(absent)"},
    {"empty in the path", "/a;id=", Parameters::path, ""},
};
INSTANTIATE_TEST_SUITE_P(Of, Parameter, testing::ValuesIn(kCases));

}  // namespace
}  // namespace limpet::http
