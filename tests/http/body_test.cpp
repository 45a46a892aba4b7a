// SPDX-License-Identifier: MIT
#include <algorithm>
#include <atomic>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

import latchkey.core.error;
import latchkey.http;
import latchkey.test.adapters;
import latchkey.test.certificate;
import latchkey.test.raw_server;

// Bodies that are read while they are sent.

using namespace latchkey;
using latchkey::test::Adapter;
using latchkey::test::Authority;
using latchkey::test::Kind;
using latchkey::test::ok_answer;
using latchkey::test::Peer;
using latchkey::test::RawServer;
using latchkey::test::RawServerOptions;
using latchkey::test::request;
using latchkey::test::Stopwatch;
using latchkey::test::TemporaryFile;

namespace {

// Says that it has `size` bytes; what it really gives is up to the test.
class TestSource final : public BodySource {
 public:
  using Read = std::function<Result<std::size_t>(std::span<unsigned char>)>;
  TestSource(std::uint64_t size, Read read) : size_(size), read_(std::move(read)) {}
  std::uint64_t size() const override { return size_; }
  bool is_replayable() const override { return true; }
  Result<std::unique_ptr<BodyReader>> open() override {
    ++openings;
    return std::make_unique<Reader>(read_);
  }
  std::atomic<int> openings = 0;

 private:
  struct Reader final : BodyReader {
    explicit Reader(Read r) : read_(std::move(r)) {}
    Result<std::size_t> read(std::span<unsigned char> to) override { return read_(to); }
    Read read_;
  };
  std::uint64_t size_;
  Read read_;
};

TestSource::Read letters(std::size_t count, std::size_t at_once) {
  return [left = count, at_once](std::span<unsigned char> to) mutable -> Result<std::size_t> {
    const auto some = std::min({left, at_once, to.size()});
    std::fill_n(to.begin(), some, static_cast<unsigned char>('x'));
    left -= some;
    return some;
  };
}

class Flag {
 public:
  void raise() {
    const std::scoped_lock lock(mutex_);
    raised_ = true;
    changed_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return raised_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool raised_ = false;
};

// Where a source hangs until somebody opens it, at the latest the gate's end.
class Gate {
 public:
  Gate() = default;
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;
  ~Gate() { open(); }
  void open() { state_->opened.raise(); }
  void wait_for_visitor() const { state_->visited.wait(); }

  struct State {
    Flag opened, visited;
  };
  [[nodiscard]] std::shared_ptr<State> state() const { return state_; }

 private:
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

// The reader may outlive the test, and so holds all that it needs.
std::shared_ptr<BodySource> hanging_at(const Gate& gate, std::size_t size) {
  return std::make_shared<TestSource>(size, [state = gate.state(), rest = letters(size, size)](
                                                std::span<unsigned char> to) mutable {
    state->visited.raise();
    state->opened.wait();
    return rest(to);
  });
}

class ShutSource final : public BodySource {
 public:
  explicit ShutSource(bool throws) : throws_(throws) {}
  std::uint64_t size() const override { return 10; }
  bool is_replayable() const override { return true; }
  Result<std::unique_ptr<BodyReader>> open() override {
    if (throws_) throw std::runtime_error("shut");
    return make_error(ErrorCode::io, "test.shut", "shut");
  }

 private:
  bool throws_;
};

HttpRequest upload(const RawServer& server, std::shared_ptr<BodySource> source) {
  HttpRequest out = request("POST", server.origin() + "/upload");
  out.body_source = std::move(source);
  return out;
}

}  // namespace

TEST_CASE("cpprest: a body is read piece by piece, and arrives whole", "[http.cpprest]") {
  const Authority authority;
  const TemporaryFile ca(authority.certificate_pem());
  const bool tls = GENERATE(false, true);
  RawServer server(
      [](Peer& peer) {
        while (!peer.read_request().empty()) peer.write(ok_answer("x"));
      },
      tls ? RawServerOptions{.identity = authority.issue({"127.0.0.1"})} : RawServerOptions{});
  Adapter adapter(GENERATE(Kind::cpprest_fresh, Kind::cpprest_pooled), ca.path());
  for (const std::size_t size : {std::size_t{1}, std::size_t{1'000'000}}) {
    const auto source = std::make_shared<TestSource>(size, letters(size, 7'001));
    const auto answer = adapter.send(upload(server, source));
    REQUIRE(answer);
    CHECK(answer->status == 200);
    CHECK(source->openings == 1);
    const std::string seen = server.requests().back();
    CHECK(seen.find("Content-Length:" + std::to_string(size) + "\r\n") != std::string::npos);
    CHECK(std::count(seen.begin() + static_cast<std::ptrdiff_t>(seen.find("\r\n\r\n")), seen.end(),
                     'x') == static_cast<std::ptrdiff_t>(size));
  }
}

TEST_CASE("cpprest: a body that fails, or ends early, breaks the exchange off with its own error",
          "[http.cpprest]") {
  RawServer server([](Peer& peer) { peer.read_request(); });
  Adapter adapter(Kind::cpprest_pooled);
  const auto failing = std::make_shared<TestSource>(10, [](std::span<unsigned char>) {
    return Result<std::size_t>(make_error(ErrorCode::io, "test.disk", "the disk is gone"));
  });
  const auto failed = adapter.send(upload(server, failing));
  REQUIRE_FALSE(failed);
  CHECK(failed.error().detail == "test.disk");
  CHECK(failed.error().delivery == Delivery::maybe_sent);

  const auto ended =
      adapter.send(upload(server, std::make_shared<TestSource>(100'000, letters(60'000, 5'000))));
  REQUIRE_FALSE(ended);
  CHECK(ended.error().detail == "body.short");
}

TEST_CASE("cpprest: what a body gives beyond its size is not sent", "[http.cpprest]") {
  RawServer server([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("x"));
  });
  Adapter adapter(Kind::cpprest_fresh);
  REQUIRE(adapter.send(upload(server, std::make_shared<TestSource>(3, letters(1'000, 1'000)))));
  CHECK(server.requests().back().ends_with("\r\n\r\nxxx"));
}

TEST_CASE("cpprest: a body is not touched any more when the deadline has passed",
          "[http.cpprest]") {
  RawServer server([](Peer& peer) {
    peer.read_request();
    peer.wait_for_close();
  });
  auto alive = std::make_shared<std::atomic<bool>>(true);
  auto touched = std::make_shared<std::atomic<int>>(0);
  Adapter adapter(Kind::cpprest_fresh);
  adapter.options.timeout = std::chrono::milliseconds{300};
  const auto source = std::make_shared<TestSource>(
      1'000'000'000'000, [alive, touched](std::span<unsigned char> to) -> Result<std::size_t> {
        if (!*alive) ++*touched;
        return to.size();
      });
  const auto answer = adapter.send(upload(server, source));
  *alive = false;
  REQUIRE_FALSE(answer);
  CHECK(answer.error().code == ErrorCode::timeout);
  CHECK(*touched == 0);
}

TEST_CASE("cpprest: a body whose source hangs ends by the deadline, and by the caller's stop",
          "[http.cpprest]") {
  const bool stopped = GENERATE(false, true);
  RawServer server([](Peer& peer) { peer.read_request(); });
  Adapter adapter(Kind::cpprest_fresh);
  Gate gate;
  std::stop_source stop;
  std::jthread stopper;
  if (stopped) {
    adapter.options.stop = stop.get_token();
    stopper = std::jthread([&] {
      gate.wait_for_visitor();
      stop.request_stop();
    });
  } else {
    adapter.options.timeout = std::chrono::milliseconds{300};
  }
  const Stopwatch watch;
  const auto answer = adapter.send(upload(server, hanging_at(gate, 100'000)));
  REQUIRE_FALSE(answer);
  CHECK(answer.error().detail == (stopped ? "http.cancelled" : "http.timeout"));
  CHECK(answer.error().delivery == Delivery::maybe_sent);
  CHECK(watch.is_prompt());
}

TEST_CASE("cpprest: while a body's source hangs, other requests go through", "[http.cpprest]") {
  RawServer server([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("x"));
  });
  Gate gate;
  std::stop_source stop;
  std::string outcome;
  std::jthread uploader([&] {
    Adapter adapter(Kind::cpprest_fresh);
    adapter.options.stop = stop.get_token();
    const auto answer = adapter.send(upload(server, hanging_at(gate, 100'000)));
    outcome = answer ? "answered" : answer.error().detail;
  });
  gate.wait_for_visitor();
  Adapter other(Kind::cpprest_fresh);
  CHECK(other.get(server.origin() + "/other"));
  stop.request_stop();
  uploader.join();
  CHECK(outcome == "http.cancelled");
}

TEST_CASE("cpprest: a body that hangs for a while arrives whole when it goes on",
          "[http.cpprest]") {
  RawServer server([](Peer& peer) {
    while (!peer.read_request().empty()) peer.write(ok_answer("x"));
  });
  Gate gate;
  std::jthread opener([&] {
    gate.wait_for_visitor();
    gate.open();
  });
  Adapter adapter(Kind::cpprest_pooled);
  REQUIRE(adapter.send(upload(server, hanging_at(gate, 300'000))));
  const std::string seen = server.requests().back();
  CHECK(seen.size() - seen.find("\r\n\r\n") - 4 == 300'000);
}

TEST_CASE("cpprest: a body's reader that throws, or claims too much, breaks the exchange off",
          "[http.cpprest]") {
  RawServer server([](Peer& peer) { peer.read_request(); });
  Adapter adapter(Kind::cpprest_fresh);
  const auto detail_after = [&](TestSource::Read read) {
    const auto answer =
        adapter.send(upload(server, std::make_shared<TestSource>(100'000, std::move(read))));
    return answer ? std::string("answered") : answer.error().detail;
  };
  using Bytes = std::span<unsigned char>;
  CHECK(detail_after([](Bytes) -> Result<std::size_t> { throw std::runtime_error("oh"); }) ==
        "body.threw");
  CHECK(detail_after([](Bytes) -> Result<std::size_t> { throw 7; }) == "body.threw");
  CHECK(detail_after([](Bytes to) -> Result<std::size_t> { return to.size() + 1; }) ==
        "body.overrun");
  CHECK(detail_after([](Bytes) -> Result<std::size_t> { return std::size_t(-1); }) ==
        "body.overrun");
}

TEST_CASE("cpprest: a source that cannot be opened, by an error or by throwing, is its own error",
          "[http.cpprest]") {
  RawServer server([](Peer& peer) { peer.read_request(); });
  Adapter adapter(Kind::cpprest_fresh);
  for (const bool throws : {false, true}) {
    const auto answer = adapter.send(upload(server, std::make_shared<ShutSource>(throws)));
    REQUIRE_FALSE(answer);
    CHECK(answer.error().detail == (throws ? "body.threw" : "test.shut"));
  }
}

TEST_CASE("curl: strangers get no uploads", "[http.curl]") {
  RawServer server([](Peer& peer) { peer.read_request(); });
  Adapter adapter(Kind::curl);
  const auto source = std::make_shared<TestSource>(3, letters(3, 3));
  const auto answer = adapter.send(upload(server, source));
  REQUIRE_FALSE(answer);
  CHECK(answer.error().detail == "http.body_source");
  CHECK(source->openings == 0);
  CHECK(server.connections() == 0);
}
