// Between DPDK's telemetry threads and the control loop.
#include "telemetry.h"

#include <rte_telemetry.h>

#include <cctype>
#include <chrono>
#include <nlohmann/json.hpp>
#include <utility>

namespace limpet::console {

using nlohmann::json;

struct Telemetry::Job {
  std::string command, parameters;
  json reply;
  bool done = false;
};

namespace {

constexpr auto kPatience = std::chrono::seconds(1);
// Limits of 22.11: a longer reply is cut without a word, so less is sent.
constexpr size_t kReplyBytes = 12 * 1024;
constexpr size_t kStringBytes = RTE_TEL_MAX_STRING_LEN - 1;

// DPDK's callbacks carry no context and cannot be unregistered: one slot for the process.
struct Registration {
  std::mutex mutex;
  std::condition_variable answered;
  Telemetry* telemetry = nullptr;
  bool commands = false;
};

Registration& registration() {
  static auto* r = new Registration;  // its users, threads of DPDK, outlive static objects
  return *r;
}

std::string cut(const json& value) {
  return value.get<std::string>().substr(0, kStringBytes);
}

int fill_array(rte_tel_data* out, const json& names) {
  rte_tel_data_start_array(out, RTE_TEL_STRING_VAL);
  size_t bytes = 0;
  for (const json& entry : names) {
    const std::string text = cut(entry);
    bytes += text.size() + 4;
    if (bytes > kReplyBytes) break;
    if (rte_tel_data_add_array_string(out, text.c_str()) != 0) break;
  }
  return 0;
}

int fill_dict(rte_tel_data* out, const json& row) {
  rte_tel_data_start_dict(out);
  size_t bytes = 0;
  for (const auto& [key, value] : row.items()) {
    bytes += key.size() + 32 + (value.is_string() ? cut(value).size() : 0);
    if (bytes > kReplyBytes) break;
    const int rc = value.is_string()
                       ? rte_tel_data_add_dict_string(out, key.c_str(), cut(value).c_str())
                       : rte_tel_data_add_dict_u64(out, key.c_str(), value.get<uint64_t>());
    if (rc != 0) break;
  }
  return 0;
}

int on_command(const char* command, const char* parameters, rte_tel_data* out) {
  try {
    const json reply =
        Telemetry::question(command, parameters == nullptr ? std::string() : parameters);
    if (reply.is_array()) return fill_array(out, reply);
    if (reply.is_object()) return fill_dict(out, reply);
  } catch (const std::exception&) {  // no memory: the caller sees an empty reply
  }
  return -1;
}

void register_commands() {
  constexpr std::pair<const char*, const char*> kCommands[] = {
      {"/limpet/services", "Names of the services. Parameter: offset of the first"},
      {"/limpet/service", "One service. Parameter: its name"},
      {"/limpet/backends", "POOL/NAME of the backends. Parameter: offset of the first"},
      {"/limpet/backend", "One backend. Parameter: POOL/NAME"},
      {"/limpet/persistence",
       "SERVICE/NUMBER of the entries of persistence lists. Parameter: offset of the first"},
      {"/limpet/persistence_entry", "One entry. Parameter: SERVICE/NUMBER"},
      {"/limpet/workers", "Numbers of the workers"},
      {"/limpet/worker", "One worker. Parameter: its number"},
      {"/limpet/ports", "Names of the ports"},
      {"/limpet/port", "One port with its NIC's counters. Parameter: its name"},
      {"/limpet/drops",
       "Dropped packets by reason. Parameter: worker, reason or port, default all"}};
  for (const auto& [command, help] : kCommands)
    rte_telemetry_register_cmd(command, on_command, help);
}

void flatten_into(const json& value, const std::string& prefix, json& out) {
  for (const auto& [name, member] : value.items()) {
    std::string key = prefix + name;
    for (char& c : key)
      if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '/') c = '_';
    if (member.is_object())
      flatten_into(member, key + "_", out);
    else if (member.is_boolean())
      out[key] = member.get<bool>() ? 1u : 0u;
    else if (member.is_number_float())
      out[key] = static_cast<uint64_t>(std::max(0.0, member.get<double>()));
    else if (member.is_number())
      out[key] = member.get<uint64_t>();
    else
      out[key] = member.is_string() ? member.get<std::string>() : std::string();
  }
}

}  // namespace

Telemetry::Telemetry(Answer answer, std::function<void()> wake)
    : answer_(std::move(answer)), wake_(std::move(wake)) {
  Registration& r = registration();
  const std::lock_guard lock(r.mutex);
  r.telemetry = this;
  if (!std::exchange(r.commands, true)) register_commands();
}

Telemetry::~Telemetry() {
  Registration& r = registration();
  const std::lock_guard lock(r.mutex);
  r.telemetry = nullptr;
  for (const auto& job : jobs_) job->done = true;
  r.answered.notify_all();
}

json Telemetry::question(const std::string& command, const std::string& parameters) {
  Registration& r = registration();
  std::unique_lock lock(r.mutex);
  if (r.telemetry == nullptr) return nullptr;
  auto job = std::make_shared<Job>();
  job->command = command;
  job->parameters = parameters;
  r.telemetry->jobs_.push_back(job);
  r.telemetry->wake_();
  r.answered.wait_for(lock, kPatience, [&] { return job->done; });
  return job->done ? std::move(job->reply) : json(nullptr);
}

void Telemetry::run() {
  Registration& r = registration();
  for (;;) {
    std::shared_ptr<Job> job;
    {
      const std::lock_guard lock(r.mutex);
      if (jobs_.empty()) return;
      job = std::move(jobs_.front());
      jobs_.pop_front();
    }
    json reply = answer_(job->command, job->parameters);
    const std::lock_guard lock(r.mutex);
    job->reply = std::move(reply);
    job->done = true;
    r.answered.notify_all();
  }
}

json flatten(const json& row) {
  json out = json::object();
  flatten_into(row, "", out);
  return out;
}

}  // namespace limpet::console
