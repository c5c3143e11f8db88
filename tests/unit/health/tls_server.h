// An HTTPS server on 127.0.0.1 for one test: one connection after the other, a certificate of its
// own that nobody else has signed.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace limpet::health {

class TlsServer {
 public:
  struct Seen {
    bool handshake = false;
    std::string server_name, request;  // name: empty when the client sent none
    std::string first;                 // octets before the handshake
  };

  // Says "HTTP/1.1 `status`" to every request; `first` octets come before the handshake.
  explicit TlsServer(std::string status, size_t first = 0)
      : status_(std::move(status)), first_(first) {
    identify();
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listener_, 8), 0);
    EXPECT_EQ(getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port = ntohs(address.sin_port);
    thread_ = std::thread([this] { run(); });
  }
  ~TlsServer() {
    stop();
    close(listener_);
  }
  TlsServer(const TlsServer&) = delete;
  TlsServer& operator=(const TlsServer&) = delete;

  // Every connection so far; ends the server, whose thread wrote it.
  const std::vector<Seen>& stop() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    return seen_;
  }

  uint16_t port = 0;

 private:
  template <auto Free>
  struct Deleter {
    template <class T>
    void operator()(T* p) const {
      Free(p);
    }
  };

  void identify() {
    context_.reset(SSL_CTX_new(TLS_server_method()));
    char curve[] = "P-256";  // the macro EVP_EC_gen() casts away a const
    const std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>> key(
        EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", curve));
    const std::unique_ptr<X509, Deleter<X509_free>> certificate(X509_new());
    ASSERT_TRUE(context_ && key && certificate);
    X509_set_version(certificate.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 3600);
    X509_NAME* name = X509_get_subject_name(certificate.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>("www.example.org"), -1, -1,
                               0);
    X509_set_issuer_name(certificate.get(), name);
    X509_set_pubkey(certificate.get(), key.get());
    ASSERT_GT(X509_sign(certificate.get(), key.get(), EVP_sha256()), 0);
    ASSERT_EQ(SSL_CTX_use_certificate(context_.get(), certificate.get()), 1);
    ASSERT_EQ(SSL_CTX_use_PrivateKey(context_.get(), key.get()), 1);
  }

  void run() {
    // A client that is gone ends a write with an error, not this process; the prober's own writes,
    // in another thread, keep their say.
    sigset_t pipe;
    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &pipe, nullptr);
    while (!stop_) {
      pollfd p{listener_, POLLIN, 0};
      if (poll(&p, 1, 20) <= 0) continue;
      const int fd = accept(listener_, nullptr, nullptr);
      if (fd < 0) continue;
      const timeval patience{5, 0};  // a client that stops in the middle does not keep the test
      setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
      serve(fd);
      close(fd);
    }
  }

  void serve(int fd) {
    const std::unique_ptr<SSL, Deleter<SSL_free>> tls(SSL_new(context_.get()));
    SSL_set_fd(tls.get(), fd);
    Seen& seen = seen_.emplace_back();
    seen.first.resize(first_);
    if (first_ != 0 && recv(fd, seen.first.data(), first_, MSG_WAITALL) <= 0) return;
    seen.handshake = SSL_accept(tls.get()) == 1;
    if (const char* name = SSL_get_servername(tls.get(), TLSEXT_NAMETYPE_host_name))
      seen.server_name = name;
    if (!seen.handshake) return;
    char buffer[4096];
    while (seen.request.find("\r\n\r\n") == std::string::npos) {
      const int n = SSL_read(tls.get(), buffer, sizeof buffer);
      if (n <= 0) return;
      seen.request.append(buffer, static_cast<size_t>(n));
    }
    const std::string answer =
        "HTTP/1.1 " + status_ + "\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";
    SSL_write(tls.get(), answer.data(), static_cast<int>(answer.size()));
    SSL_shutdown(tls.get());
  }

  std::string status_;
  size_t first_;
  std::unique_ptr<SSL_CTX, Deleter<SSL_CTX_free>> context_;
  std::vector<Seen> seen_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace limpet::health
