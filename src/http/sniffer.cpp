// The one file that knows Hyperscan.
//
// Each header name becomes the literal "\nname:", so a match is a header line's start and nothing
// else: the framer has refused whatever else could put these bytes there. Matches only mark lines;
// values are read by plain code (names.cpp) after the scan, as Hyperscan promises no order.
#include "limpet/http/sniffer.h"

#include <hs/hs.h>

#include <algorithm>
#include <array>

#include "names.h"

namespace limpet::http {
namespace {

struct FreeDatabase {
  void operator()(hs_database_t* db) const { hs_free_database(db); }
};
using Database = std::unique_ptr<hs_database_t, FreeDatabase>;

struct Anchor {
  uint32_t colon_end;  // offset behind the colon
  uint32_t stop;
};

struct Anchors {
  std::array<Anchor, Sniffer::kMaxLines> found;
  size_t count = 0;
  bool overflow = false;
  uint32_t base = 0;
};

int on_match(unsigned id, unsigned long long, unsigned long long to, unsigned, void* context) {
  Anchors& a = *static_cast<Anchors*>(context);
  if (a.count == a.found.size()) {
    a.overflow = true;
    return 1;
  }
  a.found[a.count++] = {a.base + static_cast<uint32_t>(to), id};
  return 0;
}

Result<Database> compile_database(const std::vector<Names::Stop>& stops) {
  if (hs_valid_platform() != HS_SUCCESS)
    return Error{"this processor lacks SSSE3, which Hyperscan needs"};
  std::vector<std::string> texts;
  texts.reserve(stops.size());
  for (const Names::Stop& s : stops) texts.push_back('\n' + s.name + ':');
  std::vector<const char*> pointers(stops.size());
  std::vector<size_t> lengths(stops.size());
  std::vector<unsigned> ids(stops.size());
  const std::vector<unsigned> flags(stops.size(), HS_FLAG_CASELESS);
  for (size_t i = 0; i < texts.size(); ++i) {
    pointers[i] = texts[i].data();
    lengths[i] = texts[i].size();
    ids[i] = static_cast<unsigned>(i);
  }
  hs_database_t* db = nullptr;
  hs_compile_error_t* error = nullptr;
  const hs_error_t e =
      hs_compile_lit_multi(pointers.data(), flags.data(), ids.data(), lengths.data(),
                           static_cast<unsigned>(ids.size()), HS_MODE_BLOCK, nullptr, &db, &error);
  if (e == HS_SUCCESS) return Database(db);
  std::string message = "Hyperscan cannot compile the names";
  if (error != nullptr) message += std::string(": ") + error->message;
  hs_free_compile_error(error);
  return Error{std::move(message)};
}

}  // namespace

struct Sniffer::Impl {
  Names names;
  Database database;  // null when there is nothing to look for
};

void SnifferScratch::Free::operator()(void* scratch) const {
  hs_free_scratch(static_cast<hs_scratch_t*>(scratch));
}

Status SnifferScratch::fit(const Sniffer& sniffer) {
  if (!sniffer.impl_->database) return Ok{};
  auto* scratch = static_cast<hs_scratch_t*>(scratch_.release());
  const hs_error_t e = hs_alloc_scratch(sniffer.impl_->database.get(), &scratch);
  scratch_.reset(scratch);
  if (e != HS_SUCCESS) return Error{"no memory for Hyperscan's scratch space"};
  return Ok{};
}

Result<Sniffer> Sniffer::compile(const SnifferSpec& spec) {
  Result<Names> names = Names::of(spec);
  if (!names) return Error{names.error()};
  auto impl = std::make_unique<Impl>();
  impl->names = std::move(names).value();
  if (!impl->names.stops().empty()) {
    Result<Database> db = compile_database(impl->names.stops());
    if (!db) return Error{db.error()};
    impl->database = std::move(db).value();
  }
  return Sniffer(std::move(impl));
}

Sniffer::Sniffer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Sniffer::Sniffer(Sniffer&&) noexcept = default;
Sniffer& Sniffer::operator=(Sniffer&&) noexcept = default;
Sniffer::~Sniffer() = default;

ScanResult Sniffer::scan(std::span<const uint8_t> head, const HeadBounds& bounds,
                         SnifferScratch& scratch, std::span<Hit> out) const {
  if (!impl_->database) return {};
  if (bounds.headers == 0 || bounds.headers > bounds.empty_line || bounds.empty_line > head.size())
    return {0, ScanStatus::bounds_bad};
  if (!scratch.scratch_) return {0, ScanStatus::scratch_bad};
  Anchors anchors;
  anchors.base = bounds.headers - 1;  // the LF in front of the first header line
  const hs_error_t e =
      hs_scan(impl_->database.get(), reinterpret_cast<const char*>(head.data()) + anchors.base,
              bounds.empty_line - anchors.base, 0,
              static_cast<hs_scratch_t*>(scratch.scratch_.get()), on_match, &anchors);
  if (e != HS_SUCCESS && e != HS_SCAN_TERMINATED) return {0, ScanStatus::scratch_bad};

  const std::span<Anchor> found = std::span(anchors.found).first(anchors.count);
  const auto in_order = [](const Anchor& a, const Anchor& b) { return a.colon_end < b.colon_end; };
  if (!std::is_sorted(found.begin(), found.end(), in_order))
    std::sort(found.begin(), found.end(), in_order);
  Names::Out to{.room = out, .overflow = anchors.overflow};
  for (const Anchor& a : found) {
    const Names::Stop& stop = impl_->names.stops()[a.stop];
    const auto colon = a.colon_end - 1;
    const auto begin = colon - static_cast<uint32_t>(stop.name.size());
    impl_->names.read(head, line_at(head, begin, colon, bounds.empty_line), stop, to);
  }
  return to.result();
}

ScanResult Sniffer::scan_plain(std::span<const uint8_t> head, const HeadBounds& bounds,
                               std::span<Hit> out) const {
  Names::Out to{.room = out};
  size_t lines = 0;
  if (impl_->names.stops().empty()) return {};
  for_each_line(head, bounds, [&](const Line& l) {
    const std::string_view name = text_of(head, l.name);
    for (const Names::Stop& stop : impl_->names.stops()) {
      if (!is_word(name, stop.name)) continue;
      if (lines++ == kMaxLines) {
        to.overflow = true;
        return false;
      }
      impl_->names.read(head, l, stop, to);
    }
    return true;
  });
  return to.result();
}

size_t Sniffer::database_bytes() const {
  size_t size = 0;
  if (impl_->database) hs_database_size(impl_->database.get(), &size);
  return size;
}

}  // namespace limpet::http
