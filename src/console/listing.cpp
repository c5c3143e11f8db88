// Rows become text as they are made: as JSON values they would take ten times the memory.
#include "listing.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace limpet::console {

using dataplane::QueryKind;
using nlohmann::json;

Listing::Listing(Wanted wanted, std::vector<std::unique_ptr<dataplane::Query>> answers)
    : wanted_(std::move(wanted)), answers_(std::move(answers)) {
  more_ = std::any_of(answers_.begin(), answers_.end(), [](const auto& a) { return a->truncated; });
}

bool Listing::turn(const View& v) {
  for (size_t left = kSlice; left > 0 && worker_ < answers_.size();) {
    const dataplane::Query& answer = *answers_[worker_];
    const size_t n = std::min<size_t>(left, answer.filled - next_);
    const Rows rows = wanted_.kind == QueryKind::flows ? flow_rows(v, worker_, answer, next_, n)
                      : wanted_.kind == QueryKind::top
                          ? top_rows(worker_, answer, next_, n)
                          : neighbor_rows(v, worker_, answer, next_, n);
    for (const json& row : rows) {
      if (!wanted_.port.empty() && row["port"].get_ref<const std::string&>() != wanted_.port)
        continue;
      if (count_ == wanted_.limit) {
        more_ = true;
        worker_ = static_cast<unsigned>(answers_.size());
        return true;
      }
      if (count_++ != 0) rows_ += ',';
      rows_ += row.dump(-1, ' ', false, json::error_handler_t::replace);
    }
    left -= n;
    next_ += n;
    if (next_ < answer.filled) continue;
    ++worker_;
    next_ = 0;
  }
  return worker_ >= answers_.size();
}

std::string Listing::text(Duration uptime) const {
  const char* what = wanted_.kind == QueryKind::flows ? "flows"
                     : wanted_.kind == QueryKind::top ? "top"
                                                      : "neighbors";
  std::string text = envelope(what, {}, 0, more_, uptime).dump();
  const std::string empty = std::string("\"") + what + "\":[]";
  text.insert(text.find(empty) + empty.size() - 1, rows_);
  return text;
}

}  // namespace limpet::console
