// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
module latchkey.http.cpprest.body;
import latchkey.core.error;
import latchkey.http;
import latchkey.http.body_fence;

namespace latchkey {
namespace {

constexpr std::size_t kPiece = 64 * 1024;
// cpprestsdk wants 64 KiB at once and gets nothing before they are there, so that less would make
// both sides wait.
constexpr std::uint64_t kAhead = 256 * 1024;

Error short_body() {
  return make_error(ErrorCode::io, "body.short",
                    "cannot send the body: it ended before the size that was announced; it may "
                    "have changed meanwhile: try again");
}

}  // namespace

struct BodyPump::State {
  State(std::shared_ptr<BodySource> from, Sink to)
      : source(std::move(from)), sink(std::move(to)), size(source->size()) {}

  void run() noexcept;
  std::optional<Error> read_all();
  bool wait_for_room();
  void give(std::span<const unsigned char> bytes);
  void end(std::optional<Error> why);

  std::shared_ptr<BodySource> source;  // the thread's, once it runs
  const Sink sink;                     // called with the mutex held, and not after its end
  const std::uint64_t size;

  mutable std::mutex mutex;  // guards what follows
  std::condition_variable changed;
  bool begun = false, over = false, done = false;
  std::uint64_t given = 0, gone = 0;
  std::optional<Error> error;
};

// The thread.
void BodyPump::State::run() noexcept {
  std::optional<Error> failure;
  try {
    failure = read_all();
    source.reset();
  } catch (...) {
    failure = thrown_by_body(std::current_exception());
  }
  const std::scoped_lock lock(mutex);
  end(std::move(failure));
  done = true;
  changed.notify_all();
}

std::optional<Error> BodyPump::State::read_all() {
  auto reader = source->open();
  if (!reader) return std::move(reader).error();
  const BodyRead read = [&](std::span<unsigned char> to) { return (**reader).read(to); };
  std::vector<unsigned char> piece(kPiece);
  for (std::uint64_t left = size; left > 0 && wait_for_room();) {
    const auto wanted = std::min<std::uint64_t>(left, piece.size());
    const auto some = read_fenced(read, std::span(piece).first(static_cast<std::size_t>(wanted)));
    if (!some) return some.error();
    if (*some == 0) return short_body();
    give(std::span(piece).first(*some));
    left -= *some;
  }
  return std::nullopt;
}

// False: nobody wants more.
bool BodyPump::State::wait_for_room() {
  std::unique_lock lock(mutex);
  changed.wait(lock, [this] { return over || given - gone < kAhead; });
  return !over;
}

void BodyPump::State::give(std::span<const unsigned char> bytes) {
  const std::scoped_lock lock(mutex);
  if (over) return;
  sink(bytes);
  given += bytes.size();
}

// Called with the mutex held.
void BodyPump::State::end(std::optional<Error> why) {
  if (over) return;
  over = true;
  error = std::move(why);
  sink({});
}

BodyPump::BodyPump(std::shared_ptr<BodySource> source, Sink sink)
    : state_(std::make_shared<State>(std::move(source), std::move(sink))) {}

BodyPump::~BodyPump() {
  finish(std::chrono::milliseconds{0});
}

void BodyPump::sent(std::uint64_t bytes) {
  const std::scoped_lock lock(state_->mutex);
  state_->gone = std::max(state_->gone, bytes);
  state_->changed.notify_all();
  if (state_->begun || state_->over || bytes >= state_->size) return;
  state_->begun = true;
  try {
    thread_ = std::thread([state = state_] { state->run(); });
  } catch (const std::system_error&) {
    state_->end(make_error(ErrorCode::io, "body.thread",
                           "cannot send the body: the system gives no more threads; try again"));
  }
}

void BodyPump::finish(std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  state_->end(std::nullopt);
  state_->changed.notify_all();
  std::thread thread = std::move(thread_);
  if (!thread.joinable()) return;
  const bool ended = state_->changed.wait_for(lock, patience, [this] { return state_->done; });
  lock.unlock();
  if (ended) {
    thread.join();
  } else {
    thread.detach();
  }
}

std::optional<Error> BodyPump::error() const {
  const std::scoped_lock lock(state_->mutex);
  return state_->error;
}

}  // namespace latchkey
