#include "limpet/control/links.h"

#include <utility>

namespace limpet::control {

Links::Links(IsUp is_up, size_t ports) : is_up_(std::move(is_up)) {
  for (size_t port = 0; is_up_ && port < ports; ++port) up_.push_back(is_up_(port));
}

std::vector<Links::News> Links::turn(Instant now) {
  std::vector<News> news;
  if (now < next_) return news;
  next_ = now + kLook;
  for (size_t port = 0; port < up_.size(); ++port) {
    const bool up = is_up_(port);
    if (up == up_[port]) continue;
    up_[port] = up;
    news.push_back({port, up});
  }
  return news;
}

}  // namespace limpet::control
