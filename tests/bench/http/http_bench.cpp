// What a head costs a worker: framing it, whole and in segments, and finding cookies and headers in
// it with Hyperscan and without. Items are heads; the browser's head has about 400 bytes.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "limpet/http/body.h"
#include "limpet/http/request.h"
#include "limpet/http/response.h"
#include "limpet/http/sniffer.h"

namespace limpet::http {
namespace {

using Bytes = std::vector<uint8_t>;

Bytes browser_head() {
  const std::string s =
      "GET /products/list?page=2&sort=price HTTP/1.1\r\n"
      "Host: shop.example.com\r\n"
      "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:109.0) Gecko/20100101 Firefox/115.0\r\n"
      "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"
      "Accept-Language: en-US,en;q=0.5\r\n"
      "Accept-Encoding: gzip, deflate\r\n"
      "Connection: keep-alive\r\n"
      "Cookie: theme=dark; SRV=AbCdEfGhIjKlMnOpQrStUvW; cart=17\r\n"
      "Cache-Control: max-age=0\r\n"
      "\r\n";
  return {s.begin(), s.end()};
}

// As large as HAProxy takes one: the same head with cookies of other applications.
Bytes large_head() {
  Bytes b = browser_head();
  std::string more;
  while (b.size() + more.size() < 16000) more += "X-Application-";
  more += std::to_string(more.size());
  more += ": " + std::string(100, 'v') + "\r\n";
  b.insert(b.end() - 2, more.begin(), more.end());
  return b;
}

const Bytes& head(bool large) {
  static const Bytes small_one = browser_head(), large_one = large_head();
  return large ? large_one : small_one;
}

RequestHead framed(const Bytes& b) {
  RequestFramer framer;
  RequestHead r;
  if (framer.feed(b, r) != Fed::complete) std::abort();
  return r;
}

// Arguments: large head; segment size, 0 for whole.
void frame_request(benchmark::State& state) {
  const Bytes& b = head(state.range(0) != 0);
  const size_t segment = state.range(1) == 0 ? b.size() : static_cast<size_t>(state.range(1));
  RequestHead r;
  for ([[maybe_unused]] auto _ : state) {
    RequestFramer framer;
    for (size_t size = segment;
         framer.feed(std::span(b).first(std::min(size, b.size())), r) != Fed::complete;)
      size += segment;
    benchmark::DoNotOptimize(r);
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["bytes"] = static_cast<double>(b.size());
}
BENCHMARK(frame_request)->Args({0, 0})->Args({0, 1})->Args({1, 0})->Args({1, 1460})->Args({1, 1});

void frame_response(benchmark::State& state) {
  const std::string s =
      "HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
      "Content-Type: text/html\r\nContent-Length: 612\r\nConnection: keep-alive\r\n"
      "Last-Modified: Thu, 01 Jan 1970 00:00:00 GMT\r\nETag: \"63aa1b2c-264\"\r\n"
      "Accept-Ranges: bytes\r\n\r\n";
  const Bytes b(s.begin(), s.end());
  ResponseHead r;
  for ([[maybe_unused]] auto _ : state) {
    ResponseFramer framer(Method::get);
    if (framer.feed(b, r) != Fed::complete) std::abort();
    benchmark::DoNotOptimize(r);
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["bytes"] = static_cast<double>(b.size());
}
BENCHMARK(frame_response);

// One cookie; or 8 names; or 64, of which the head has three.
SnifferSpec spec(int64_t names) {
  SnifferSpec s;
  s.names.push_back({Look::cookie, "SRV", 0, true});
  if (names > 1) s.names.push_back({Look::header, "Host", 1, false});
  if (names > 1) s.names.push_back({Look::header, "Accept-Language", 2, false});
  while (static_cast<int64_t>(s.names.size()) < names)
    s.names.push_back({Look::header, std::string("X-Key-").append(std::to_string(s.names.size())),
                       static_cast<uint16_t>(s.names.size()), false});
  return s;
}

// Arguments: names; large head; with Hyperscan.
void sniff(benchmark::State& state) {
  const Bytes& b = head(state.range(1) != 0);
  const HeadBounds bounds = framed(b).bounds;
  auto compiled = Sniffer::compile(spec(state.range(0)));
  if (!compiled.ok()) std::abort();
  const Sniffer& sniffer = *compiled;
  SnifferScratch scratch;
  if (!scratch.fit(sniffer).ok()) std::abort();
  std::array<Hit, 16> hits;
  const size_t expected = state.range(0) > 1 ? 3 : 1;
  for ([[maybe_unused]] auto _ : state) {
    const ScanResult r = state.range(2) != 0 ? sniffer.scan(b, bounds, scratch, hits)
                                             : sniffer.scan_plain(b, bounds, hits);
    if (r.hits != expected) std::abort();
    benchmark::DoNotOptimize(hits);
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["database"] = static_cast<double>(sniffer.database_bytes());
}
BENCHMARK(sniff)->ArgsProduct({{1, 8, 64}, {0, 1}, {0, 1}});

void skip_chunks(benchmark::State& state) {
  std::string body;
  for (int i = 0; i < 16; ++i) body.append("400\r\n").append(1024, 'x').append("\r\n");
  body += "0\r\n\r\n";
  const Bytes b(body.begin(), body.end());
  for ([[maybe_unused]] auto _ : state) {
    BodySkipper skipper({Body::chunked, 0}, Side::request);
    for (size_t at = 0; at < b.size(); at += 1460)
      skipper.skip(std::span(b).subspan(at, std::min<size_t>(1460, b.size() - at)));
    if (!skipper.finished()) std::abort();
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(b.size()));
}
BENCHMARK(skip_chunks);

}  // namespace
}  // namespace limpet::http

BENCHMARK_MAIN();
