// Any bytes as a configuration: either every problem is well formed, or the Document keeps every
// bound. libconfig itself is not instrumented; lexer, grammar machine, tree and validator are. The
// grammar machine and libconfig must refuse the same texts.
//
//   fuzz_config -dict=tests/fuzz/config/config.dict -max_len=4096 CORPUS tests/fuzz/config/seeds
//   config
//
// CORPUS is a directory of its own: libFuzzer writes what it finds into the first one.
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "bounds.h"
#include "limpet/config/load.h"
#include "mutator.h"
#include "tree.h"

namespace {

[[noreturn]] void broken(const char* what, const std::string& detail) {
  std::fprintf(stderr, "%s: %s\n", what, detail.c_str());
  std::abort();
}

// libconfig leaks when a parse ends early, and each leak costs a search of the heap: compare a few.
constexpr size_t kCompareOneIn = 64;

bool printable(const std::string& text) {
  for (const char c : text)
    if (c < 0x20 || c > 0x7e) return false;
  return true;
}

bool starts_with(const std::string& text, const char* start) {
  return text.rfind(start, 0) == 0;
}

// What we call a syntax error or a duplicate, libconfig must refuse too when it reads the bare
// text.
bool libconfig_refuses(const std::string& text) {
  limpet::config::Source source;
  source.files.push_back("fuzz.cfg");
  source.text = text + "\n";
  limpet::config::Node root;
  return limpet::config::build_tree(source, root).has_value();
}

}  // namespace

// libconfig 1.5 loses the string or setting at which a parse ends.
extern "C" const char* __lsan_default_suppressions() {
  return "leak:libconfig_yy\nleak:libconfig.so\n";
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using limpet::config::Problem;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const limpet::config::Loaded loaded = limpet::config::load_text(text, "fuzz.cfg");
  if (loaded.ok()) {
    limpet::config::remember_valid(text);
    const std::string bound = limpet::config::broken_bound(loaded.document);
    if (!bound.empty()) broken("accepted a document with a broken bound", bound);
    // A document is its own successor: reloading the same text asks for no restart.
    const auto restart = limpet::config::restart_needed(loaded.document, loaded.document);
    if (!restart.empty()) broken("restart needed for the same document", restart[0]);
    return 0;
  }
  const Problem* before = nullptr;
  for (const Problem& problem : loaded.problems) {
    if (problem.file != "fuzz.cfg" || problem.line < 1) broken("no place", problem.to_string());
    if (problem.text.find("; expected ") == std::string::npos)
      broken("nothing expected", problem.to_string());
    if (!printable(problem.to_string())) broken("not printable", problem.to_string());
    if (before != nullptr && before->line > problem.line) broken("not sorted", problem.to_string());
    // Our grammar must refuse whatever libconfig refuses, or its messages are second best and an
    // integer that it wraps could go unseen.
    if (starts_with(problem.text, "libconfig: ")) broken("only libconfig saw", problem.to_string());
    if ((starts_with(problem.text, "syntax error at ") ||
         starts_with(problem.text, "array with ") ||
         starts_with(problem.text, "is already set ")) &&
        std::hash<std::string>{}(text) % kCompareOneIn == 0 && !libconfig_refuses(text))
      broken("libconfig takes it", problem.to_string());
    before = &problem;
  }
  return 0;
}
