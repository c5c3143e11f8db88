#include "limpet/affinity/http_date.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace limpet::affinity {

namespace {

constexpr std::array<std::string_view, 12> kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                                      "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
constexpr std::string_view kDays = "ThuFriSatSunMonTueWed";  // 1970-01-01 was a Thursday
constexpr uint64_t kLastSecond = 253402300799;               // 9999-12-31 23:59:59

struct Date {
  uint32_t year, month, day;  // month 1 .. 12
};

// Proleptic Gregorian, on years that begin in March, so that the leap day is the last (H. Hinnant,
// "chrono-compatible low-level date algorithms").
Date date_of(uint64_t days_since_1970) {
  const uint64_t z = days_since_1970 + 719468;
  const uint64_t era = z / 146097, doe = z % 146097;
  const uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
  const uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const uint64_t mp = (5 * doy + 2) / 153;
  const auto month = static_cast<uint32_t>(mp < 10 ? mp + 3 : mp - 9);
  return {static_cast<uint32_t>(yoe + era * 400 + (month <= 2)), month,
          static_cast<uint32_t>(doy - (153 * mp + 2) / 5 + 1)};
}

int64_t days_of(const Date& d) {
  const int64_t y = int64_t{d.year} - (d.month <= 2);
  const int64_t era = y / 400, yoe = y % 400;  // years are 1601 or later
  const int64_t doy = (153 * (int64_t{d.month} + (d.month > 2 ? -3 : 9)) + 2) / 5 + d.day - 1;
  return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

uint32_t days_in(uint32_t month, uint32_t year) {
  if (month == 2) return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28;
  return month == 4 || month == 6 || month == 9 || month == 11 ? 30 : 31;
}

bool digit(char c) {
  return c >= '0' && c <= '9';
}

// RFC 6265, 5.1.1: what separates the tokens of a cookie date.
bool delimiter(char c) {
  const auto u = static_cast<uint8_t>(c);
  return u == 0x09 || (u >= 0x20 && u <= 0x2f) || (u >= 0x3b && u <= 0x40) ||
         (u >= 0x5b && u <= 0x60) || (u >= 0x7b && u <= 0x7e);
}

// `least` to `most` digits at the front, followed by no further digit.
bool take_number(std::string_view& text, size_t least, size_t most, uint32_t& value) {
  size_t n = 0;
  uint32_t v = 0;
  while (n < text.size() && n <= most && digit(text[n]))
    v = v * 10 + static_cast<uint32_t>(text[n++] - '0');
  if (n < least || n > most) return false;
  text.remove_prefix(n);
  value = v;
  return true;
}

bool time_token(std::string_view token, std::array<uint32_t, 3>& time) {
  for (size_t i = 0; i < 3; ++i) {
    if (i > 0) {
      if (token.empty() || token.front() != ':') return false;
      token.remove_prefix(1);
    }
    if (!take_number(token, 1, 2, time[i])) return false;
  }
  return true;  // what follows is ignored: the number ended, so it is no digit
}

bool number_token(std::string_view token, size_t least, size_t most, uint32_t& value) {
  return take_number(token, least, most, value);
}

bool month_token(std::string_view token, uint32_t& month) {
  if (token.size() < 3) return false;
  for (size_t m = 0; m < kMonths.size(); ++m) {
    bool same = true;
    for (size_t i = 0; i < 3; ++i) same = same && (token[i] | 0x20) == (kMonths[m][i] | 0x20);
    if (same) {
      month = static_cast<uint32_t>(m + 1);
      return true;
    }
  }
  return false;
}

void put_two(char* out, uint64_t value) {
  out[0] = static_cast<char>('0' + value / 10 % 10);
  out[1] = static_cast<char>('0' + value % 10);
}

}  // namespace

void format_http_date(uint64_t unix_seconds, std::span<char, kHttpDateSize> out) {
  unix_seconds = std::min(unix_seconds, kLastSecond);
  const uint64_t days = unix_seconds / 86400, second = unix_seconds % 86400;
  const Date d = date_of(days);
  std::memcpy(out.data(), "Thu, 00 Jan 0000 00:00:00 GMT", kHttpDateSize);
  std::memcpy(out.data(), kDays.data() + 3 * (days % 7), 3);
  put_two(&out[5], d.day);
  std::memcpy(&out[8], kMonths[d.month - 1].data(), 3);
  put_two(&out[12], d.year / 100);
  put_two(&out[14], d.year % 100);
  put_two(&out[17], second / 3600);
  put_two(&out[20], second / 60 % 60);
  put_two(&out[23], second % 60);
}

std::optional<uint64_t> parse_cookie_date(std::string_view text) {
  std::array<uint32_t, 3> time{};
  uint32_t day = 0, month = 0, year = 0;
  bool have_time = false, have_day = false, have_month = false, have_year = false;
  while (!text.empty()) {
    size_t n = 0;
    while (n < text.size() && !delimiter(text[n])) ++n;
    const std::string_view token = text.substr(0, n);
    text.remove_prefix(std::min(n + 1, text.size()));
    if (token.empty()) continue;
    // In the order of the RFC: a token is what it can first be and is not there yet.
    if (!have_time && time_token(token, time)) {
      have_time = true;
    } else if (!have_day && number_token(token, 1, 2, day)) {
      have_day = true;
    } else if (!have_month && month_token(token, month)) {
      have_month = true;
    } else if (!have_year && number_token(token, 2, 4, year)) {
      have_year = true;
    }
  }
  if (!have_time || !have_day || !have_month || !have_year) return std::nullopt;
  if (year >= 70 && year <= 99) year += 1900;
  if (year <= 69) year += 2000;
  if (year < 1601 || day < 1 || day > days_in(month, year) || time[0] > 23 || time[1] > 59 ||
      time[2] > 59) {
    return std::nullopt;
  }
  const int64_t seconds = days_of({year, month, day}) * 86400 + int64_t{time[0]} * 3600 +
                          int64_t{time[1]} * 60 + time[2];
  return seconds < 0 ? 0 : static_cast<uint64_t>(seconds);
}

}  // namespace limpet::affinity
