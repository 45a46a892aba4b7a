// SPDX-License-Identifier: MIT
module;
#include <pplx/threadpool.h>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
module latchkey.http.cpprest;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.cpprest.channel;
import latchkey.http.policy;

namespace latchkey {
namespace {

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
};

CpprestTransport::CpprestTransport(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CpprestTransport::~CpprestTransport() = default;

Result<std::unique_ptr<CpprestTransport>> CpprestTransport::open(CpprestOptions options) {
  if (auto usable = check_ca_file(options.extra_ca_file); !usable) return std::move(usable).error();
  start_pool();
  auto impl = std::make_unique<Impl>();
  impl->options = std::move(options);
  return std::unique_ptr<CpprestTransport>(new CpprestTransport(std::move(impl)));
}

Result<HttpResponse> CpprestTransport::send(const HttpRequest& request,
                                            const SendOptions& options) {
  if (auto allowed = check_request(request, impl_->options.http_rule); !allowed)
    return std::move(allowed).error();
  const bool proxied = impl_->options.proxy.applies_to(request.url);
  const auto settings = [&] {
    return ChannelSettings{impl_->options.extra_ca_file,
                           proxied ? impl_->options.proxy.clone() : Proxy()};
  };
  if (options.connection == Connection::fresh || proxied)
    return Channel(request.url, settings()).exchange(request, options);

  const auto origin = request.url.origin();
  for (;;) {
    auto channel = impl_->take(origin);
    if (!channel) channel = std::make_unique<Channel>(request.url, settings());
    auto answer = channel->exchange(request, options);
    if (answer) impl_->give_back(origin, std::move(channel));
    if (answer || answer.error().detail != kStaleConnection) return answer;
  }
}

}  // namespace latchkey
