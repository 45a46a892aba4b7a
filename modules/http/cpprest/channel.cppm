// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <optional>
#include <string>
export module latchkey.http.cpprest.channel;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;

// One cpprestsdk client that carries one exchange at a time, so that everything its callbacks
// report (handshake, bytes received, an attempt to send again) belongs to the exchange under way.
// Used by latchkey.http.cpprest only.

export namespace latchkey {

struct ChannelSettings {
  std::string extra_ca_file;
  Proxy proxy;  ///< none, or the one to use for this origin
  /// Where to connect to, whatever the name of the origin leads to; empty behind a proxy.
  std::optional<IpAddress> address;
};

class Channel {
 public:
  Channel(const Url& url, ChannelSettings settings);
  Channel(const Channel&) = delete;
  Channel& operator=(const Channel&) = delete;
  ~Channel();

  /// Sends at most once. After an error the channel must not be used again. Error
  /// "http.stale_connection" (not_sent): the kept connection had ended before anything was sent;
  /// take another channel. `accept_timeout`: how long the address may take to accept the
  /// connection, where that is shorter than the time to connect, TLS included.
  [[nodiscard]] Result<HttpResponse> exchange(
      const HttpRequest& request, const SendOptions& options,
      std::chrono::milliseconds accept_timeout = std::chrono::milliseconds::max());

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

inline constexpr const char* kStaleConnection = "http.stale_connection";

}  // namespace latchkey
