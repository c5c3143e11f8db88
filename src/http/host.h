// Whether the Host header and the request target speak of the same host.
#pragma once

#include <string_view>

#include "limpet/http/request.h"

namespace limpet::http {

// Whether `s` may stand for a host with or without a port. Less strict than RFC 3986, 3.2.2: what
// it refuses is where a reader may stop, or begin (a user in front, a path or another host behind).
bool is_host_text(std::string_view s);

// As HAProxy: a target with a scheme ("http://h/") must name the Host header's host, where the
// scheme's default port may be left out on either side; the target of CONNECT must be host:port,
// and Host may leave out 80 and 443. `host` is null when there is no Host header.
Refusal check_host(Method method, std::string_view target, const std::string_view* host);

}  // namespace limpet::http
