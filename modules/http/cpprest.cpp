// SPDX-License-Identifier: MIT
module;
#include <pplx/threadpool.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
module latchkey.http.cpprest;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.cpprest.channel;
import latchkey.http.policy;
import latchkey.http.resolver;
import latchkey.http.timing;

namespace latchkey {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kMostIdle = 32;

// One thread: see CpprestTransport.
void start_pool() {
  static std::once_flag once;
  std::call_once(once, [] {
    try {
      crossplat::threadpool::initialize_with_threads(1);
    } catch (const std::exception&) {
      // The host program uses cpprestsdk too and started its pool first: that one serves us as
      // well.
    }
  });
}

// Nothing was sent, and another address may do better.
bool is_connect_failure(const Error& error) {
  return error.delivery == Delivery::not_sent &&
         (error.detail == "http.connect" || error.detail == "http.connect_timeout");
}

}  // namespace

struct CpprestTransport::Impl {
  struct Idle {
    std::string origin;
    std::unique_ptr<Channel> channel;
  };

  CpprestOptions options;
  std::mutex mutex;
  std::deque<Idle> idle;  // oldest first

  std::unique_ptr<Channel> take(const std::string& origin) {
    const std::lock_guard lock(mutex);
    const auto found =
        std::find_if(idle.rbegin(), idle.rend(), [&](const Idle& i) { return i.origin == origin; });
    if (found == idle.rend()) return nullptr;
    auto channel = std::move(found->channel);
    idle.erase(std::next(found).base());
    return channel;
  }

  void give_back(std::string origin, std::unique_ptr<Channel> channel) {
    Idle oldest;  // destroyed after the lock is gone: it may close a socket
    const std::lock_guard lock(mutex);
    idle.push_back({std::move(origin), std::move(channel)});
    if (idle.size() <= kMostIdle) return;
    oldest = std::move(idle.front());
    idle.pop_front();
  }

  ChannelSettings settings_for(const Url& url, std::optional<IpAddress> address) const {
    return {options.extra_ca_file, options.proxy.applies_to(url) ? options.proxy.clone() : Proxy(),
            address};
  }

  Result<HttpResponse> send_over_kept(const HttpRequest& request, const SendOptions& limits);
  Result<HttpResponse> send_over_new(const HttpRequest& request, const SendOptions& limits);
};

CpprestTransport::CpprestTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CpprestTransport::~CpprestTransport() = default;

Result<std::unique_ptr<CpprestTransport>> CpprestTransport::open(CpprestOptions options) {
  if (auto usable = check_ca_file(options.extra_ca_file); !usable) return std::move(usable).error();
  start_pool();
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  if (!impl->options.resolver) impl->options.resolver = system_resolver();
  return std::unique_ptr<CpprestTransport>(new CpprestTransport(std::move(impl)));
}

// Error kStaleConnection: there is none, or none that still stands.
Result<HttpResponse> CpprestTransport::Impl::send_over_kept(const HttpRequest& request,
                                                            const SendOptions& limits) {
  const auto origin = request.url.origin();
  while (auto channel = take(origin)) {
    auto answer = channel->exchange(request, limits);
    if (answer) give_back(origin, std::move(channel));
    if (answer || answer.error().detail != kStaleConnection) return answer;
  }
  return make_error(ErrorCode::connection_lost, kStaleConnection, "no connection is kept");
}

Result<HttpResponse> CpprestTransport::Impl::send_over_new(const HttpRequest& request,
                                                           const SendOptions& limits) {
  const auto start = steady_clock::now();
  const auto end = start + limits.timeout, connected_by = start + limits.connect_timeout;
  const auto addresses =
      addresses_to_call(*options.resolver, request.url, options.address_rule,
                        {.deadline = std::min(end, connected_by), .stop = limits.stop});
  if (!addresses) return addresses.error();
  for (std::size_t left = addresses->size();; --left) {
    const auto now = steady_clock::now();
    SendOptions rest = limits;
    rest.timeout = time_left(end, now);
    rest.connect_timeout = time_left(connected_by, now);
    auto channel = std::make_unique<Channel>(
        request.url, settings_for(request.url, (*addresses)[addresses->size() - left]));
    auto answer = channel->exchange(request, rest, share_of(rest.connect_timeout, left));
    if (answer && limits.connection == Connection::pooled)
      give_back(request.url.origin(), std::move(channel));
    const bool another = left > 1 && steady_clock::now() < std::min(end, connected_by);
    if (answer || !another || !is_connect_failure(answer.error())) return answer;
  }
}

Result<HttpResponse> CpprestTransport::send(const HttpRequest& request,
                                            const SendOptions& options) {
  if (auto allowed = check_request(request, impl_->options.http_rule); !allowed)
    return std::move(allowed).error();
  if (auto allowed = check_target(request.url, impl_->options.address_rule); !allowed)
    return std::move(allowed).error();
  if (impl_->options.proxy.applies_to(request.url)) {
    return Channel(request.url, impl_->settings_for(request.url, std::nullopt))
        .exchange(request, options);
  }
  if (options.connection == Connection::pooled) {
    auto answer = impl_->send_over_kept(request, options);
    if (answer || answer.error().detail != kStaleConnection) return answer;
  }
  return impl_->send_over_new(request, options);
}

}  // namespace latchkey
