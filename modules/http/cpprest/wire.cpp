// SPDX-License-Identifier: MIT
module;
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <string>
module latchkey.http.cpprest.wire;
import latchkey.http.policy;

namespace latchkey {
namespace {

using Socket = boost::asio::ip::tcp::socket;
using TlsStream = boost::asio::ssl::stream<Socket&>;

int wire_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

// What OpenSSL calls, in asio's threads.
struct Wire::Callbacks {
  static void info(const SSL* ssl, int where, int) {
    auto& wire = *static_cast<Wire*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), wire_index()));
    if ((where & SSL_CB_HANDSHAKE_DONE) != 0) wire.handshake_done_ = true;
    // Session tickets begin a handshake of their own, later.
    if ((where & SSL_CB_HANDSHAKE_START) == 0 || wire.handshake_done_) return;
    wire.handshake_begun_ = true;
    if (!wire.literal_) SSL_set_tlsext_host_name(const_cast<SSL*>(ssl), wire.host_.c_str());
  }

  static int verify(X509_STORE_CTX* chain, void* context) {
    auto& wire = *static_cast<Wire*>(context);
    // cpprestsdk's own callback would check against the Host field; null crashes.
    X509_STORE_CTX_set_verify_cb(chain, [](int ok, X509_STORE_CTX*) { return ok; });
    auto* parameters = X509_STORE_CTX_get0_param(chain);
    X509_VERIFY_PARAM_set_hostflags(
        parameters, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    const bool set =
        wire.literal_
            ? X509_VERIFY_PARAM_set1_ip(parameters, wire.literal_->bytes().data(),
                                        wire.literal_->is_v4() ? 4 : 16) == 1
            : X509_VERIFY_PARAM_set1_host(parameters, wire.host_.data(), wire.host_.size()) == 1;
    if (set && X509_verify_cert(chain) == 1) return 1;
    const int error = X509_STORE_CTX_get_error(chain);
    wire.verify_error_ = error != X509_V_OK ? error : X509_V_ERR_UNSPECIFIED;
    return 0;
  }

  // Only raises a flag: the library holds its socket's lock here, and cancelling would take it
  // again.
  static void message(int written, int, int content, const void* data, std::size_t size, SSL*,
                      void* context) {
    if (written != 0 || content != SSL3_RT_HEADER || size < 5) return;
    auto& wire = *static_cast<Wire*>(context);
    const auto* header = static_cast<const unsigned char*>(data);
    const std::size_t record = 5U + header[3] * 256U + header[4];
    if ((wire.received_ += record) > wire.budget_) wire.raise(wire.flooded_);
  }
};

void Wire::begin(std::size_t budget) {
  const std::lock_guard lock(mutex_);
  finished_ = stopped_ = flooded_ = false;
  budget_ = budget;
  sendings_ = 0;
  received_ = downloaded_ = 0;
  verify_error_ = X509_V_OK;
  reused_ = handshake_begun_ = handshake_done_ = written_ = false;
}

void Wire::arm() {
  const std::lock_guard lock(mutex_);
  finished_ = false;
}

Wire::Wake Wire::wait(const Deadlines& deadlines) {
  std::unique_lock lock(mutex_);
  const auto woken_by = [&](TimePoint end) {
    return changed_.wait_until(lock, std::min(deadlines.whole, end),
                               [this] { return finished_ || stopped_ || flooded_; });
  };
  // Without TLS nothing tells when the connection stood.
  const auto late = [&](TimePoint end) { return !connected() && (tls_ || end < deadlines.whole); };
  bool in_time = woken_by(deadlines.accept);
  if (!in_time && !handshake_begun_ && late(deadlines.accept)) return Wake::connect_timeout;
  if (!in_time) in_time = woken_by(deadlines.connect);
  if (!in_time && late(deadlines.connect)) return Wake::connect_timeout;
  if (!in_time) in_time = woken_by(deadlines.whole);
  if (finished_) return Wake::finished;
  if (stopped_) return Wake::stopped;
  return in_time ? Wake::flooded : Wake::timeout;
}

void Wire::wait_finished(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, time, [this] { return finished_; });
}

void Wire::before_sending(void* handle) {
  if (sendings_.fetch_add(1) > 0) throw SecondSending();
  auto& socket =
      tls_ ? static_cast<TlsStream*>(handle)->next_layer() : *static_cast<Socket*>(handle);
  if (!socket.is_open()) return;
  reused_ = true;
  // An idle connection has nothing to say: what is there to read is its end, or an answer that
  // nobody asked for.
  pollfd waiting{.fd = socket.native_handle(), .events = POLLIN, .revents = 0};
  if (::poll(&waiting, 1, 0) != 0) throw StaleConnection();
}

void Wire::prepare_tls(void* context, const std::string& extra_ca_file) {
  auto* tls = static_cast<SSL_CTX*>(context);
  SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION);
  SSL_CTX_set_cert_verify_callback(tls, Callbacks::verify, this);
  SSL_CTX_set_ex_data(tls, wire_index(), this);
  SSL_CTX_set_info_callback(tls, Callbacks::info);
  SSL_CTX_set_msg_callback(tls, Callbacks::message);
  SSL_CTX_set_msg_callback_arg(tls, this);
  if (!extra_ca_file.empty() &&
      SSL_CTX_load_verify_locations(tls, extra_ca_file.c_str(), nullptr) != 1)
    throw CaFileLost();
}

void Wire::on_progress(bool download, std::size_t size) {
  written_ = true;
  if (download) downloaded_ = size;
}

std::string Wire::verify_error() const {
  return verify_error_ == X509_V_OK ? std::string() : X509_verify_cert_error_string(verify_error_);
}

void Wire::raise(bool& flag) {
  const std::lock_guard lock(mutex_);
  flag = true;
  changed_.notify_all();
}

}  // namespace latchkey
