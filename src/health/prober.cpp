// Checks over libcurl's multi interface, driven by its sockets: an epoll instance of its own holds
// them, so that the event loop watches one descriptor whatever is under way. libcurl cannot begin a
// connection with a PROXY header that speaks for nobody (7.88 knows version 1 with addresses only),
// and it must come before TLS: such connections are opened here, and libcurl gets them connected.
#include "limpet/health/prober.h"

#include <curl/curl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "limpet/base/os_error.h"
#include "limpet/base/units.h"

namespace limpet::health {
namespace {

using Clock = std::chrono::steady_clock;

struct EasyCleanup {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
using Easy = std::unique_ptr<CURL, EasyCleanup>;

struct ListFree {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListFree>;

struct Transfer {
  uint64_t id = 0;
  Probe probe;
  Easy easy;
  List headers, connect_to;
  Clock::time_point deadline;
  Duration excused{};  // by so much it has moved
  int fd = -1;         // our own, until libcurl has it
  bool head = false;   // the head of the answer is complete, and nothing else is asked of it
  bool interim = false;
  std::array<char, CURL_ERROR_SIZE> error{};
};

Duration patience_of(const Probe& p) {
  return p.patience.value_or(p.timeout);
}

std::string host_text(const IpAddress& address) {
  return address.is_v4() ? address.to_string() : fmt::format("[{}]", address.to_string());
}

// "example.org:8443" -> "example.org"; a bracketed IPv6 address keeps its colons.
std::string without_port(const std::string& host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos || host.find(']', colon) != std::string::npos) return host;
  if (host.find(':') != colon && host.front() != '[') return host;
  return host.substr(0, colon);
}

std::string ranges_text(const std::vector<config::StatusRange>& ranges) {
  std::string text;
  for (const config::StatusRange& r : ranges) {
    if (!text.empty()) text += ",";
    text += r.first == r.last ? fmt::format("{}", r.first) : fmt::format("{}-{}", r.first, r.last);
  }
  return text;
}

// What backends that expect it want to hear first, of a connection that is nobody's (PROXY
// protocol, 2.1 and 2.2).
std::string_view proxy_header(config::HealthProxy proxy) {
  using namespace std::string_view_literals;
  switch (proxy) {
    case config::HealthProxy::v1:
      return "PROXY UNKNOWN\r\n"sv;
    case config::HealthProxy::v2:
      return "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"sv;
    case config::HealthProxy::none:
      break;
  }
  return {};
}

bool say_first(int fd, config::HealthProxy proxy) {
  const std::string_view header = proxy_header(proxy);
  return send(fd, header.data(), header.size(), MSG_NOSIGNAL) ==
         static_cast<ssize_t>(header.size());
}

// A non-blocking connection under way, or an errno.
Result<int> begin_connection(const Probe& p) {
  sockaddr_storage to{};
  socklen_t length = sizeof(sockaddr_in);
  if (p.address.is_v4()) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(to);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(p.port);
    std::memcpy(&v4.sin_addr, p.address.v4_bytes(), 4);
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(p.port);
    std::memcpy(&v6.sin6_addr, p.address.bytes.data(), 16);
    length = sizeof(sockaddr_in6);
  }
  const int fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  if (fd < 0) return Error{errno_text(errno)};
  if (connect(fd, reinterpret_cast<const sockaddr*>(&to), length) == 0 || errno == EINPROGRESS)
    return fd;
  const int why = errno;
  close(fd);
  return Error{errno_text(why)};
}

// The status says it all, and it is known when the head is: a body may be large, and come slowly.
size_t read_head(char* text, size_t size, size_t n, void* user) {
  auto& t = *static_cast<Transfer*>(user);
  const std::string_view line(text, size * n);
  if (line.substr(0, 5) == "HTTP/") {
    const size_t status = std::min(line.find(' '), line.size() - 1) + 1;
    t.interim = line.substr(status, 1) == "1" && line.substr(status, 3) != "101";
  }
  t.head = !t.interim && (line == "\r\n" || line == "\n");
  return t.head ? 0 : line.size();  // 0 ends the transfer
}

size_t no_body(char*, size_t, size_t, void*) {
  return 0;
}

curl_socket_t our_socket(void* user, curlsocktype, curl_sockaddr*) {
  const int fd = std::exchange(static_cast<Transfer*>(user)->fd, -1);
  return fd < 0 ? CURL_SOCKET_BAD : fd;
}

int is_connected(void*, curl_socket_t, curlsocktype) {
  return CURL_SOCKOPT_ALREADY_CONNECTED;
}

// Whether our own kernel offers an option at all. What it does not offer no backend can agree to.
bool offers(const char* option) {
  std::ifstream file(std::string("/proc/sys/net/ipv4/") + option);
  int value = 1;
  file >> value;
  return value != 0;
}

std::optional<tcp::Agreed> tcp_options(CURL* easy) {
  curl_socket_t fd = CURL_SOCKET_BAD;
  if (curl_easy_getinfo(easy, CURLINFO_ACTIVESOCKET, &fd) != CURLE_OK || fd == CURL_SOCKET_BAD)
    return std::nullopt;
  tcp_info info{};
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return std::nullopt;
  tcp::Agreed o;
  o.mss = info.tcpi_snd_mss;
  o.wscale =
      (info.tcpi_options & TCPI_OPT_WSCALE) != 0 ? uint8_t{info.tcpi_snd_wscale} : uint8_t{0};
  o.sack = (info.tcpi_options & TCPI_OPT_SACK) != 0 || !offers("tcp_sack");
  o.timestamps = (info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0;
  // tcpi_snd_mss is what fits into a segment: timestamps take 12 bytes of what was announced.
  if (o.timestamps) o.mss += 12;
  // Over loopback it is half of the first window instead.
  o.mss_at_least = o.mss >= std::min<uint32_t>(info.tcpi_advmss, 16384);
  o.timestamps = o.timestamps || !offers("tcp_timestamps");
  return o;
}

std::string timeout_text(const Transfer& t) {
  curl_off_t connected = 0;
  curl_easy_getinfo(t.easy.get(), CURLINFO_CONNECT_TIME_T, &connected);
  const std::string limit = format_duration(t.probe.timeout);
  if (connected == 0) return fmt::format("no connection within {}", limit);
  return fmt::format("no complete answer within {}", limit);
}

std::string error_text(const Transfer& t, CURLcode code) {
  if (code == CURLE_OPERATION_TIMEDOUT) return timeout_text(t);
  if (code == CURLE_GOT_NOTHING) return "connection closed without an answer";
  long os_error = 0;
  const bool transport =
      code == CURLE_COULDNT_CONNECT || code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR;
  if (transport && curl_easy_getinfo(t.easy.get(), CURLINFO_OS_ERRNO, &os_error) == CURLE_OK &&
      os_error != 0)
    return errno_text(static_cast<int>(os_error));
  return lower_first(t.error[0] != 0 ? t.error.data() : curl_easy_strerror(code));
}

CheckResult judge(const Transfer& t, CURLcode code) {
  if (t.probe.type == config::HealthType::tcp)
    return code == CURLE_OK ? CheckResult{true, ""} : CheckResult{false, error_text(t, code)};
  if (!t.head)  // libcurl takes the end of the connection for that of the head
    return {false, code == CURLE_OK ? "the answer ends within its head" : error_text(t, code)};
  long status = 0;
  curl_easy_getinfo(t.easy.get(), CURLINFO_RESPONSE_CODE, &status);
  for (const config::StatusRange& r : t.probe.expect)
    if (status >= r.first && status <= r.last) return {true, ""};
  return {false, fmt::format("status {}, expected {}", status, ranges_text(t.probe.expect))};
}

}  // namespace

class Prober::Impl {
 public:
  Impl(CURLM* m, int epoll_fd) : multi(m), epoll(epoll_fd) {
    curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, &Impl::on_socket);
    curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, this);
    curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, &Impl::on_timer);
    curl_multi_setopt(multi, CURLMOPT_TIMERDATA, this);
    // None is used twice; a smaller cache would close bare connections before they are looked at.
    curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, 65536L);
  }
  ~Impl() {
    while (!transfers.empty()) remove(transfers.begin()->first);
    idle.clear();
    curl_multi_cleanup(multi);
    close(epoll);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void start(uint64_t id, const Probe& probe) {
    auto t = std::make_unique<Transfer>();
    t->id = id;
    t->probe = probe;
    if (idle.empty()) {
      t->easy.reset(curl_easy_init());
    } else {
      t->easy = std::move(idle.back());
      idle.pop_back();
    }
    Transfer& transfer = *t;
    transfers[id] = std::move(t);
    transfer.deadline = Clock::now() + patience_of(probe);
    deadlines.emplace(transfer.deadline, id);
    if (transfer.easy == nullptr || !configure(transfer)) return fail(id, kNoMemory);
    // A bare connection says it when it is there (finish()).
    if (probe.proxy != config::HealthProxy::none && probe.type != config::HealthType::tcp)
      return connect(transfer);
    if (curl_multi_add_handle(multi, transfer.easy.get()) != CURLM_OK) fail(id, kNoMemory);
  }

  void fail(uint64_t id, std::string why) {
    results.push_back({id, {false, std::move(why)}, std::nullopt});
    remove(id);
  }

  void connect(Transfer& t) {
    const Result<int> fd = begin_connection(t.probe);
    if (!fd) return fail(t.id, fd.error());
    t.fd = *fd;
    connecting[t.fd] = t.id;
    epoll_event event{};
    event.data.fd = t.fd;
    event.events = EPOLLOUT;
    epoll_ctl(epoll, EPOLL_CTL_ADD, t.fd, &event);
  }

  void connected(Transfer& t) {
    int error = 0;
    socklen_t length = sizeof error;
    getsockopt(t.fd, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return fail(t.id, errno_text(error));
    if (!say_first(t.fd, t.probe.proxy)) return fail(t.id, "connection closed without an answer");
    epoll_ctl(epoll, EPOLL_CTL_DEL, t.fd, nullptr);
    connecting.erase(t.fd);
    CURL* e = t.easy.get();
    curl_easy_setopt(e, CURLOPT_OPENSOCKETFUNCTION, &our_socket);
    curl_easy_setopt(e, CURLOPT_OPENSOCKETDATA, &t);
    curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, &is_connected);
    if (curl_multi_add_handle(multi, e) != CURLM_OK) fail(t.id, kNoMemory);
  }

  bool configure(Transfer& t) {
    CURL* e = t.easy.get();
    const Probe& p = t.probe;
    const bool tls = p.type == config::HealthType::https;
    const std::string address = host_text(p.address);
    std::string url_host = address;
    if (p.type != config::HealthType::tcp && !p.host.empty()) {
      t.headers.reset(curl_slist_append(nullptr, ("Host: " + p.host).c_str()));
      curl_easy_setopt(e, CURLOPT_HTTPHEADER, t.headers.get());
      if (tls) {
        // The name in the URL becomes the TLS server name; the connection goes to the backend.
        url_host = without_port(p.host);
        t.connect_to.reset(
            curl_slist_append(nullptr, fmt::format("::{}:{}", address, p.port).c_str()));
        curl_easy_setopt(e, CURLOPT_CONNECT_TO, t.connect_to.get());
      }
    }
    const std::string url = fmt::format("{}://{}:{}{}", tls ? "https" : "http", url_host, p.port,
                                        p.type == config::HealthType::tcp ? "/" : p.uri);
    bool ok = curl_easy_setopt(e, CURLOPT_URL, url.c_str()) == CURLE_OK;
    curl_easy_setopt(e, CURLOPT_PRIVATE, &t);
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t.error.data());
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_PROXY, "");  // whatever the environment says
    // The deadline is ours (expire()): libcurl would look at the clock before it looks at a socket
    // whose answer has long been there. Its own for connects, which cannot be switched off, is
    // never first.
    const auto never = std::chrono::ceil<std::chrono::milliseconds>(patience_of(p) * 4).count();
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(never + 60'000));
    curl_easy_setopt(e, CURLOPT_FRESH_CONNECT, 1L);
    if (p.type == config::HealthType::tcp) {
      // Open until the handle is removed, so that its options can be read.
      curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
      return ok;
    }
    curl_easy_setopt(e, CURLOPT_FORBID_REUSE, 1L);
    ok = ok && curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    curl_easy_setopt(e, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(e, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(e, CURLOPT_USERAGENT, "limpet/" LIMPET_VERSION " health check");
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, &read_head);
    curl_easy_setopt(e, CURLOPT_HEADERDATA, &t);
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, &no_body);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, p.verify ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, p.verify ? 2L : 0L);
    if (!p.verify) {  // else the system's certificates are read for nothing
      curl_easy_setopt(e, CURLOPT_CAINFO, nullptr);
      curl_easy_setopt(e, CURLOPT_CAPATH, nullptr);
    }
    return ok;
  }

  void remove(uint64_t id) {
    const auto at = transfers.find(id);
    if (at == transfers.end()) return;
    Easy easy = std::move(at->second->easy);
    if (easy != nullptr) {
      curl_multi_remove_handle(multi, easy.get());
      curl_easy_reset(easy.get());
    }
    deadlines.erase({at->second->deadline, id});
    if (const int fd = at->second->fd; fd >= 0) {
      connecting.erase(fd);
      close(fd);
    }
    transfers.erase(at);
    if (easy != nullptr && idle.size() < kIdle) idle.push_back(std::move(easy));
  }

  void run() {
    serve_sockets();
    int still = 0;
    if (due && *due <= Clock::now()) {
      due.reset();
      curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &still);
    }
    int left = 0;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      void* user = nullptr;
      curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &user);
      finish(*static_cast<Transfer*>(user), message->data.result);
    }
    expire();
  }

  void serve_sockets() {
    std::array<epoll_event, 64> events;
    size_t n = events.size();
    for (unsigned round = 0; n == events.size() && round < kRounds; ++round) {
      const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 0);
      n = ready < 0 ? 0 : static_cast<size_t>(ready);
      for (size_t i = 0; i < n; ++i) {
        const epoll_event& event = events[i];
        int what = 0, still = 0;
        if (const auto ours = connecting.find(event.data.fd); ours != connecting.end()) {
          connected(*transfers.at(ours->second));
          continue;
        }
        if ((event.events & (EPOLLIN | EPOLLHUP)) != 0) what |= CURL_CSELECT_IN;
        if ((event.events & EPOLLOUT) != 0) what |= CURL_CSELECT_OUT;
        if ((event.events & EPOLLERR) != 0) what |= CURL_CSELECT_ERR;
        curl_multi_socket_action(multi, event.data.fd, what, &still);
      }
    }
  }

  void finish(const Transfer& t, CURLcode code) {
    ProbeResult r{t.id, judge(t, code), std::nullopt};
    if (r.result.ok && t.probe.type == config::HealthType::tcp) {
      r.tcp = tcp_options(t.easy.get());
      curl_socket_t fd = CURL_SOCKET_BAD;
      if (curl_easy_getinfo(t.easy.get(), CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
          fd != CURL_SOCKET_BAD)
        say_first(fd, t.probe.proxy);  // lest the backend logs an error at every check
    }
    results.push_back(std::move(r));
    remove(t.id);
  }

  // Only after every socket was served: what had come in time was taken.
  void expire() {
    const Clock::time_point now = Clock::now();
    while (!deadlines.empty() && deadlines.begin()->first <= now)
      finish(*transfers.at(deadlines.begin()->second), CURLE_OPERATION_TIMEDOUT);
  }

  void excuse(Duration busy) {
    if (busy < kNoticeable) return;
    deadlines.clear();
    for (auto& [id, t] : transfers) {
      const Duration most = std::max(busy, patience_of(t->probe));
      const Duration more = std::clamp(most - t->excused, Duration::zero(), busy);
      t->excused += more;
      t->deadline += more;
      deadlines.emplace(t->deadline, id);
    }
  }

  static int on_socket(CURL*, curl_socket_t fd, int what, void* user, void* known) {
    auto& self = *static_cast<Impl*>(user);
    if (what == CURL_POLL_REMOVE) {
      epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, nullptr);
      curl_multi_assign(self.multi, fd, nullptr);
      return 0;
    }
    epoll_event event{};
    event.data.fd = fd;
    if ((what & CURL_POLL_IN) != 0) event.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0) event.events |= EPOLLOUT;
    epoll_ctl(self.epoll, known != nullptr ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    curl_multi_assign(self.multi, fd, &self);  // any pointer: known from now on
    return 0;
  }

  static int on_timer(CURLM*, long timeout_ms, void* user) {
    auto& self = *static_cast<Impl*>(user);
    if (timeout_ms < 0)
      self.due.reset();
    else
      self.due = Clock::now() + std::chrono::milliseconds(timeout_ms);
    return 0;
  }

  static constexpr const char* kNoMemory = "cannot start the check: out of memory";
  static constexpr size_t kIdle = 64;
  static constexpr unsigned kRounds = 64;  // of as many sockets as there are events
  static constexpr Duration kNoticeable = std::chrono::milliseconds(5);
  CURLM* multi;
  int epoll;
  std::optional<Clock::time_point> due;
  std::map<uint64_t, std::unique_ptr<Transfer>> transfers;
  std::set<std::pair<Clock::time_point, uint64_t>> deadlines;  // of all transfers
  std::map<int, uint64_t> connecting;                          // transfers by our own descriptors
  std::vector<Easy> idle;
  std::vector<ProbeResult> results;
};

Prober::Prober(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Prober::~Prober() = default;

Result<std::unique_ptr<Prober>> Prober::create() {
  if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0) return Error{"libcurl cannot be initialised"};
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return Error{"no file descriptor for health checks: " + errno_text(errno)};
  CURLM* multi = curl_multi_init();
  if (multi == nullptr) {
    close(epoll);
    return Error{"libcurl cannot be initialised: out of memory"};
  }
  return std::unique_ptr<Prober>(new Prober(std::make_unique<Impl>(multi, epoll)));
}

void Prober::start(uint64_t id, const Probe& probe) {
  impl_->start(id, probe);
}

void Prober::cancel(uint64_t id) {
  impl_->remove(id);
  std::erase_if(impl_->results, [id](const ProbeResult& r) { return r.id == id; });
}

size_t Prober::running() const {
  return impl_->transfers.size();
}

int Prober::fd() const {
  return impl_->epoll;
}

std::optional<Duration> Prober::wait() const {
  if (!impl_->results.empty()) return Duration::zero();
  std::optional<Clock::time_point> next = impl_->due;
  if (!impl_->deadlines.empty()) {
    const Clock::time_point first = impl_->deadlines.begin()->first;
    next = next ? std::min(*next, first) : first;
  }
  if (!next) return std::nullopt;
  return std::max<Duration>(Duration::zero(), *next - Clock::now());
}

void Prober::run(Duration busy) {
  impl_->excuse(busy);
  impl_->run();
}

std::vector<ProbeResult> Prober::harvest() {
  return std::exchange(impl_->results, {});
}

}  // namespace limpet::health
