// What is done to one complete head. Private to exchange.cpp.
#pragma once

#include "exchange.h"

namespace limpet::dataplane {

// Reads its cookies, remembers what its response needs, appends its edits. `by`: the rules that
// the head holds (Exchange::reading), and its request from then on. `bytes` begin with the
// head, at the map's frontier plus what was final before it. False: it must not pass.
bool edit_request(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, tcp::Seq first,
                  const http::RequestHead& head, const ExchangeContext& c, const RulesInUse& by);
// By the rules of the first that is asked. False when an edit could not be made: what could be is
// done.
bool edit_response(Exchange& s, tcp::StreamMap& map, std::span<const uint8_t> bytes, tcp::Seq first,
                   const http::ResponseHead& head, const ExchangeContext& c);

}  // namespace limpet::dataplane
