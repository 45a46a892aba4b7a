// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.loopback.receiver;
import latchkey.core.error;
import latchkey.loopback.answer;
import latchkey.loopback.callback;
import latchkey.loopback.callback_request;
import latchkey.loopback.certificate;
import latchkey.loopback.desk;
import latchkey.loopback.listener;
import latchkey.loopback.pages;
import latchkey.loopback.sockets;

namespace latchkey {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using VisitPtr = std::shared_ptr<Visit>;

constexpr std::chrono::hours kLongestWait{24};

ResultPage stray() {
  return {.html = stray_page()};
}

class Receiver final : public LoopbackReceiver {
 public:
  Receiver(std::unique_ptr<Listener> listener, CallbackPlace place, bool fell_back,
           milliseconds keep_time)
      : place_(std::move(place)),
        fell_back_(fell_back),
        keep_time_(keep_time),
        listener_(std::move(listener)) {
    listener_->start([this](const VisitPtr& visit) { on_visit(visit); });
  }

  [[nodiscard]] std::uint16_t port() const noexcept override { return place_.port; }
  [[nodiscard]] bool fell_back() const noexcept override { return fell_back_; }
  [[nodiscard]] std::string redirect_uri() const override { return place_.uri(); }

  Result<std::unique_ptr<HeldCallback>> wait(std::string_view state, milliseconds timeout,
                                             std::stop_token stop,
                                             const std::function<void()>& on_stray) override {
    const auto deadline =
        steady_clock::now() + std::clamp<milliseconds>(timeout, milliseconds{0}, kLongestWait);
    struct Forget {
      Desk& desk;
      ~Forget() { desk.forget(); }
    } const forget{desk_};
    desk_.expect(state);
    listener_->post([this] { judge_early(); });
    return desk_.collect(deadline, stop, on_stray);
  }

 private:
  // All below is called on the listener's thread.
  void on_visit(const VisitPtr& visit) {
    const auto& request = visit->request();
    if (const auto refusal = refusal_of(request, place_)) {
      return visit->reply(refusal->status, plain_page(request.method, refusal->title));
    }
    judge(visit);
  }

  void judge(const VisitPtr& visit) {
    const auto query = query_of_target(visit->request().target);
    const auto verdict = desk_.judge(query, [&] { return visit->hold(std::string(query)); });
    if (verdict == Desk::Verdict::taken) return;
    if (verdict != Desk::Verdict::undecided) return visit->reply(400, stray());
    std::erase_if(early_, [](const auto& early) { return early.expired(); });
    early_.push_back(visit);
    visit->keep(keep_time_, 400, stray());
  }

  void judge_early() {
    for (const auto& early : std::exchange(early_, {})) {
      if (const auto visit = early.lock(); visit && visit->is_kept()) judge(visit);
    }
  }

  CallbackPlace place_;
  bool fell_back_;
  milliseconds keep_time_;
  Desk desk_;
  // Callbacks that arrived before anyone waited for them.
  std::vector<std::weak_ptr<Visit>> early_;
  std::unique_ptr<Listener> listener_;  // last: the first to go
};

// As it stands in a URL.
std::string_view url_host(LoopbackHost host) {
  switch (host) {
    case LoopbackHost::ipv4:
      return "127.0.0.1";
    case LoopbackHost::ipv6:
      return "[::1]";
    case LoopbackHost::localhost:
      return "localhost";
  }
  return {};
}

// A browser may take either address for "localhost": what is not bound here, another user of this
// machine could bind.
std::vector<std::string> addresses(LoopbackHost host) {
  if (host == LoopbackHost::ipv6) return {"::1"};
  if (host == LoopbackHost::ipv4) return {"127.0.0.1"};
  return {"127.0.0.1", "::1"};
}

Result<void> check(const ReceiverOptions& options) {
  const bool plain = std::all_of(options.path.begin(), options.path.end(), [](char c) {
    return c > ' ' && c <= '~' && c != '?' && c != '#';
  });
  if (!options.path.starts_with('/') || !plain || options.max_connections == 0) {
    return make_error(ErrorCode::invalid_argument, "loopback.options",
                      "cannot listen for the browser: the path must begin with / and be ASCII"
                      " without a query, and there must be room for a connection");
  }
  const auto host =
      options.host == LoopbackHost::ipv6 ? std::string_view("::1") : url_host(options.host);
  if (options.certificate && !options.certificate->covers(host)) {
    return make_error(ErrorCode::invalid_argument, "loopback.certificate_host",
                      "cannot listen for the browser: the certificate does not name " +
                          std::string(host) + "; make one that does, or use another host");
  }
  return {};
}

SocketOptions socket_options(const ReceiverOptions& options) {
  return {.addresses = addresses(options.host),
          .port = options.port,
          .certificate = options.certificate,
          .max_header = options.max_header,
          .read_timeout = options.read_timeout};
}

}  // namespace

LoopbackReceiver::~LoopbackReceiver() {}

Result<std::unique_ptr<LoopbackReceiver>> LoopbackReceiver::open(ReceiverOptions options) {
  if (auto good = check(options); !good) return std::move(good).error();
  auto wanted = socket_options(options);
  auto listener = Listener::open(wanted, options.max_connections);
  const bool fell_back = !listener && listener.error().detail == "loopback.bind" &&
                         options.port != 0 && options.port_policy == PortPolicy::preferred;
  if (fell_back) {
    wanted.port = 0;
    listener = Listener::open(wanted, options.max_connections);
  }
  if (!listener) return std::move(listener).error();
  CallbackPlace place{.scheme = options.certificate ? "https" : "http",
                      .host = std::string(url_host(options.host)),
                      .port = (*listener)->port(),
                      .path = std::move(options.path)};
  return std::unique_ptr<LoopbackReceiver>(std::make_unique<Receiver>(
      *std::move(listener), std::move(place), fell_back, options.read_timeout));
}

}  // namespace latchkey
