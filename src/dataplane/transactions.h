// Requests of mode splice that will have a line in the log: from the first octet of a head to the
// last one of its response. Those of a connection stand in a list, in the order in which they were
// asked. A connection that has none costs nothing (SpliceFlow::logged). Private to dataplane.
//
// How far the streams have got is told by positions in the numbers of whoever sends: what has left
// for the receiver is counted, once, and a response whose last octet has left is over.
#pragma once

#include <cstdint>
#include <string_view>

#include "core.h"
#include "exchange.h"
#include "flow_book.h"
#include "limpet/dataplane/log_record.h"
#include "limpet/tcp/seq.h"
#include "mapped.h"

namespace limpet::dataplane {

struct Transaction {
  LogRecord record;  // as far as it is known
  Instant began, asked, chosen, connected;
  tcp::Seq up_end, up_seen;      // of the request: its end, and how far it has left
  tcp::Seq down_end, down_seen;  // of the response
  TransactionId next = kNoTransaction;
  bool head = false;        // complete
  bool up_ended = false;    // up_end is known
  bool answered = false;    // the head of its response is complete
  bool down_ended = false;  // down_end is known
  bool tunnel = false;      // no HTTP any more
  bool blamed = false;      // record.ending is decided
  bool last = false;        // the backend has closed behind `fin`
  tcp::Seq fin;

  // All of its response has left.
  bool over() const { return answered && down_ended && down_seen == down_end; }
};

// Of one worker: as many as its bindings, in memory that is touched as it is used.
class Transactions {
 public:
  static constexpr uint32_t kMost = 65536;
  // Each packet of a connection walks through its own. As many as wait for their responses, one
  // that is being read, and few that nobody will answer: behind a response that ends with the
  // connection requests are read on.
  static constexpr unsigned kMostOfFlow = 12;
  Transactions(Core& core, FlowBook& book, uint32_t flows);

  // What is read of the streams. kNoTransaction is nobody, to all of these.
  // A head begins at `first` of the client's stream; `others`: the connection has some already.
  // kNoTransaction: it is not one of the sample, or there is no memory, which is counted.
  TransactionId begin(flow::FlowId flow, bool others, tcp::Seq first);
  void asked(TransactionId id, std::string_view method, std::string_view target);
  void request_ends(TransactionId id, tcp::Seq end);
  void answered(TransactionId id, uint16_t status, tcp::Seq first, Instant first_octet);
  void response_ends(TransactionId id, tcp::Seq end);
  void tunnels(TransactionId id);
  void blame(TransactionId id, Ending ending);  // the first one counts

  // Of a connection that has some (SpliceFlow::logged).
  void trying(flow::FlowId flow, uint8_t entry);  // its backend gets a SYN
  void connected(flow::FlowId flow);
  // So much of both streams has left, FINs included. `closed`: both ends have sent one. False: none
  // is left of the connection.
  bool moved(flow::FlowId flow, tcp::Seq up, tcp::Seq down, bool closed);
  // An end has closed behind `end`: there ends a response whose end nobody knew, and a tunnel.
  void backend_closed(flow::FlowId flow, tcp::Seq end);
  void client_closed(flow::FlowId flow, tcp::Seq end);
  void blame_all(flow::FlowId flow, Ending ending);
  // limpet has answered the oldest one without an answer itself, with so many octets.
  void own_answer(flow::FlowId flow, uint16_t status, size_t octets);
  void close(flow::FlowId flow);  // it is over: all get their lines

  uint32_t used() const { return used_; }
  uint32_t capacity() const { return count_; }

 private:
  Transaction& at(TransactionId id) { return pool_[id]; }
  template <class Visit>
  void each(flow::FlowId flow, Visit visit);
  void finish(flow::FlowId flow, TransactionId id);
  void give(TransactionId id);

  Core& core_;
  FlowBook& book_;
  Mapped<TransactionId> first_;  // by flow id; means something while the flow has one
  Mapped<Transaction> pool_;
  uint32_t count_, fresh_ = 0, used_ = 0;
  TransactionId free_ = kNoTransaction;
};

}  // namespace limpet::dataplane
