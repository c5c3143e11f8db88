// What a spliced connection pays for its cookie: open, look up, seal, and the whole decision and
// answer. The context that is made anew for each call shows why a crypter is kept.
#include <benchmark/benchmark.h>
#include <fmt/core.h>

#include <string>
#include <vector>

#include "limpet/affinity/cookie_policy.h"

namespace limpet::affinity {
namespace {

constexpr uint64_t kNow = 1700000000;

BackendIds backends(int64_t n) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < n; ++i) names.push_back(fmt::format("s{}", i));
  return BackendIds(std::move(names));
}

CookiePolicy policy(bool sealed) {
  CookieSettings s;
  s.service = "web", s.name = "SRV", s.sealed = sealed;
  s.idle_timeout = 1800, s.absolute_timeout = 28800;
  s.http_only = true, s.same_site = SameSite::lax;
  return CookiePolicy::compile(s);
}

void seal(benchmark::State& state) {
  CookieCrypter crypter(CookieKeys::first({1}));
  std::array<char, kSealedSize> out;
  uint32_t i = 0;
  for ([[maybe_unused]] auto _ : state) {
    crypter.seal({i++ & kBackendIdMask, 1, 0}, 42, out);
    benchmark::DoNotOptimize(out);
  }
}
BENCHMARK(seal);

void open(benchmark::State& state) {
  CookieCrypter crypter(CookieKeys::first({1}));
  std::array<char, kSealedSize> text;
  crypter.seal({7, 1, 0}, 42, text);
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(crypter.open({text.data(), text.size()}, 42, 3, {480, 30}));
}
BENCHMARK(open);

void open_with_a_new_crypter(benchmark::State& state) {
  const CookieKeys keys = CookieKeys::first({1});
  std::array<char, kSealedSize> text;
  CookieCrypter(keys).seal({7, 1, 0}, 42, text);
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(CookieCrypter(keys).open({text.data(), text.size()}, 42, 3, {}));
}
BENCHMARK(open_with_a_new_crypter);

void request(benchmark::State& state) {
  const bool sealed = state.range(0) != 0;
  const CookiePolicy p = policy(sealed);
  const BackendIds ids = backends(state.range(1));
  CookieCrypter crypter(CookieKeys::first({1}));
  ResponseInput in;
  in.member = static_cast<uint16_t>(ids.size() / 2), in.now = kNow;
  std::array<char, kMaxResponseText> out;
  const std::string line(p.response(ids, &crypter, in, out).lines);
  const std::string value = line.substr(16, line.find(';') - 16);
  const std::string_view values[] = {value};
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(
        p.request(ids, &crypter, values, kNow, [](uint16_t) { return balance::BackendStatus{}; }));
}
BENCHMARK(request)->ArgNames({"sealed", "backends"})->ArgsProduct({{0, 1}, {10, 1000}});

void response(benchmark::State& state) {
  const CookiePolicy p = policy(state.range(0) != 0);
  const BackendIds ids = backends(10);
  CookieCrypter crypter(CookieKeys::first({1}));
  ResponseInput in;
  in.member = 3, in.now = kNow;
  std::array<char, kMaxResponseText> out;
  for ([[maybe_unused]] auto _ : state)
    benchmark::DoNotOptimize(p.response(ids, &crypter, in, out));
}
BENCHMARK(response)->ArgName("sealed")->Arg(0)->Arg(1);

}  // namespace
}  // namespace limpet::affinity
