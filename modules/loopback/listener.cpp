// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
module latchkey.loopback.listener;
import latchkey.core.error;
import latchkey.core.os.process;
import latchkey.loopback.answer;
import latchkey.loopback.callback;
import latchkey.loopback.callback_request;
import latchkey.loopback.pages;
import latchkey.loopback.sockets;

namespace latchkey {
namespace {

using std::chrono::milliseconds;
using ConnectionPtr = std::shared_ptr<Connection>;

// The thread that serves. It lives as long as the listener or a held callback needs it.
class Loop : public std::enable_shared_from_this<Loop> {
 public:
  Loop(std::unique_ptr<Sockets> sockets, unsigned max_connections)
      : sockets_(std::move(sockets)), max_connections_(max_connections) {}
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;
  ~Loop() {
    sockets_->stop();
    if (thread_.joinable()) thread_.join();
    for (const auto& connection : connections_) connection->end_softly();
  }

  [[nodiscard]] std::uint16_t port() const noexcept { return sockets_->port(); }
  void start(Listener::Handler handler);
  // When it returns, nothing of the listener's runs any more; answers under way go on.
  void close();
  void post(std::function<void()> task) { sockets_->post(std::move(task)); }

  // On the loop's thread:
  void add(const ConnectionPtr& connection) {
    connections_.push_back(connection);
    connection->when_ended([this, raw = connection.get()] { remove(raw); });
  }
  void remove(const Connection* connection) {
    connections_.remove_if([&](const auto& other) { return other.get() == connection; });
  }

 private:
  bool make_room();
  void serve(const ConnectionPtr& connection);

  std::unique_ptr<Sockets> sockets_;
  std::size_t max_connections_;
  std::list<ConnectionPtr> connections_;
  Listener::Handler handler_;
  std::thread thread_;
};

// A connection that was taken out: the browser waits for its page.
class TakenCallback final : public HeldCallback {
 public:
  TakenCallback(std::shared_ptr<Loop> loop, ConnectionPtr connection, std::string query)
      : loop_(std::move(loop)), connection_(std::move(connection)), query_(std::move(query)) {}
  ~TakenCallback() override {
    try {
      HeldCallback::answer(400, stray_page());
    } catch (const std::exception&) {
      // Out of memory for a page: the connection is closed without one.
    }
  }

  [[nodiscard]] std::string_view query() const noexcept override { return query_; }

  void answer(int status, const ResultPage& page) override {
    if (!connection_) return;
    auto bytes = http_answer(status, page);
    const auto done = std::make_shared<std::promise<void>>();
    loop_->post([loop = loop_.get(), connection = std::exchange(connection_, nullptr),
                 bytes = std::move(bytes), done]() mutable {
      loop->add(connection);
      connection->send(std::move(bytes), [done] { done->set_value(); });
    });
    // The write has its own deadline; this one is for what must not happen there.
    done->get_future().wait_for(2 * kWriteTimeout);
  }

 private:
  std::shared_ptr<Loop> loop_;
  ConnectionPtr connection_;
  std::string query_;
};

class ConnectionVisit final : public Visit, public std::enable_shared_from_this<ConnectionVisit> {
 public:
  ConnectionVisit(Loop& loop, ConnectionPtr connection)
      : loop_(loop), connection_(std::move(connection)) {}

  [[nodiscard]] const CallbackRequest& request() const noexcept override {
    return connection_->request();
  }
  void reply(int status, const ResultPage& page) override {
    connection_->send(http_answer(status, page), nullptr);
  }
  void keep(milliseconds time, int status, const ResultPage& page) override {
    connection_->keep(time,
                      [self = shared_from_this(), status, page] { self->reply(status, page); });
  }
  [[nodiscard]] bool is_kept() const noexcept override { return connection_->is_kept(); }

  std::unique_ptr<HeldCallback> hold(std::string query) override {
    auto held =
        std::make_unique<TakenCallback>(loop_.shared_from_this(), connection_, std::move(query));
    connection_->release();
    connection_->hold_open();
    loop_.remove(connection_.get());
    return held;
  }

 private:
  Loop& loop_;
  ConnectionPtr connection_;
};

void Loop::start(Listener::Handler handler) {
  handler_ = std::move(handler);
  sockets_->accept([this](const ConnectionPtr& connection) { serve(connection); });
  thread_ = start_thread_without_signals([this] { sockets_->run(); });
}

void Loop::close() {
  if (!thread_.joinable()) return;
  std::promise<void> closed;
  post([&] {
    handler_ = nullptr;
    sockets_->close();
    for (const auto& connection : std::list(connections_)) {
      if (!connection->is_answering()) connection->end();
    }
    closed.set_value();
  });
  closed.get_future().wait();
}

// The oldest connection gives way: clients that are slow on purpose cannot keep the browser out.
bool Loop::make_room() {
  if (connections_.size() < max_connections_) return true;
  const auto oldest = std::find_if(connections_.begin(), connections_.end(),
                                   [](const auto& other) { return !other->is_kept(); });
  if (oldest == connections_.end()) return false;
  ConnectionPtr(*oldest)->end();
  return true;
}

void Loop::serve(const ConnectionPtr& connection) {
  if (!make_room()) return;
  add(connection);
  connection->read([this, weak = std::weak_ptr(connection)] {
    if (handler_) handler_(std::make_shared<ConnectionVisit>(*this, weak.lock()));
  });
}

class LoopListener final : public Listener {
 public:
  explicit LoopListener(std::shared_ptr<Loop> loop) : loop_(std::move(loop)) {}
  ~LoopListener() override { loop_->close(); }
  [[nodiscard]] std::uint16_t port() const noexcept override { return loop_->port(); }
  void start(Handler handler) override { loop_->start(std::move(handler)); }
  void post(std::function<void()> task) override { loop_->post(std::move(task)); }

 private:
  std::shared_ptr<Loop> loop_;
};

}  // namespace

Visit::~Visit() {}

Listener::~Listener() {}

Result<std::unique_ptr<Listener>> Listener::open(const SocketOptions& options,
                                                 unsigned max_connections) {
  auto sockets = Sockets::open(options);
  if (!sockets) return std::move(sockets).error();
  return std::unique_ptr<Listener>(
      std::make_unique<LoopListener>(std::make_shared<Loop>(*std::move(sockets), max_connections)));
}

}  // namespace latchkey
