// The values of limpet's own cookie as browsers bring them and as answers must issue them: plain or
// sealed, dated or not. Plain ones are spelled out here; sealed ones need AES, so they are made
// with the product's codec, which has test vectors of its own (tests/unit/affinity).
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "limpet/affinity/sealed_cookie.h"

namespace limpet::sim {

class Tokens {
 public:
  static constexpr uint64_t kNow = 1'700'000'000;  // unix seconds, all through a conversation
  static uint64_t now() { return kNow; }
  // With these settings of the service.
  static constexpr const char* kIdle = "30m";
  static constexpr const char* kAbsolute = "2h";

  Tokens(bool sealed, bool idle, bool absolute, const std::string& cookie);

  bool sealed() const { return sealed_; }
  bool dated() const { return idle_ || absolute_; }
  bool idle() const { return idle_; }
  bool absolute() const { return absolute_; }
  // First issued and last used so many minutes ago; before zero: in the future.
  std::string make(const std::string& backend, int first, int last);
  std::string make_with_older_key(const std::string& backend, int first);
  std::string make_undated(const std::string& backend) const { return backend; }
  std::string make_by_stranger(const std::string& backend);    // another key of the same id
  std::string make_for_elsewhere(const std::string& backend);  // another service's

  // What limpet issues for s0 when the request's own value was first issued `first` minutes ago,
  // nullopt: there is none, or it is not believed.
  std::string issue(std::optional<int> first) {
    return make("s0", absolute_ ? first.value_or(0) : 0, 0);
  }

  const affinity::CookieKeys& keys() const { return keys_; }

 private:
  std::string seal(affinity::CookieCrypter& crypter, const std::string& backend, int first,
                   int last, uint64_t context);

  bool sealed_, idle_, absolute_;
  uint64_t context_, elsewhere_;
  affinity::CookieKeys older_, keys_;
  affinity::CookieCrypter by_older_, by_newest_, by_stranger_;
};

}  // namespace limpet::sim
