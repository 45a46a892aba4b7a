// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
export module latchkey.http.trace;
export import latchkey.http.trace.event;
export import latchkey.http.trace.words;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http;

// Records who asked whom, and how it went. A program gives a Tracer to its client
// (AtprotoClientOptions::tracer, OAuthClientOptions::tracer), or wraps a transport of its own.

export namespace latchkey {

/// Told each event as it happens: one call after the other, in the order of the ids, on the thread
/// that caused it. It must be quick, and must not use what is traced. What it throws is caught and
/// forgotten: a trace never fails what it traces.
using TraceSink = std::function<void(const TraceEvent&)>;

/// Numbers events and hands them on. Thread-safe.
class Tracer {
 public:
  /// `random`: draws what tells this run from others in one file.
  Tracer(TraceSink sink, std::shared_ptr<Clock> clock, Random& random);
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// Gives the event's id. Programs may record steps of their own.
  std::uint64_t record(TraceItem what);
  [[nodiscard]] const Clock& clock() const noexcept { return *clock_; }

 private:
  const TraceSink sink_;
  const std::shared_ptr<Clock> clock_;
  std::uint32_t run_ = 0;
  std::mutex mutex_;
  std::uint64_t last_ = 0;
};

/// A transport whose exchanges are recorded: two events each, so that a program that is cut off
/// leaves the request. Changes nothing on the way. Thread-safe, like the one it wraps.
class TracingTransport final : public HttpTransport {
 public:
  TracingTransport(std::shared_ptr<HttpTransport> inner, std::shared_ptr<Tracer> tracer);
  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request,
                                          const SendOptions& options) override;
  [[nodiscard]] const std::shared_ptr<Tracer>& tracer() const noexcept { return tracer_; }

 private:
  /// A request of a thread that may be repeated there.
  struct Last {
    std::string method;
    Sha256 url{};
    std::size_t body_size = 0;
    unsigned attempt = 1;
    std::uint64_t event = 0;
    TraceRetry cause = TraceRetry::none;
    std::chrono::steady_clock::time_point ended{};
  };
  /// Fills in the attempt; gives what to remember of this one.
  [[nodiscard]] Last compare_with_last(const HttpRequest& request, TracedRequest& traced);
  /// Only if there is a cause to repeat it.
  void remember(Last last);

  const std::shared_ptr<HttpTransport> inner_;
  const std::shared_ptr<Tracer> tracer_;
  std::mutex mutex_;
  std::map<std::thread::id, Last> last_;
};

/// `transport` with this tracer; itself if there is no tracer, or if it has this one already.
[[nodiscard]] std::shared_ptr<HttpTransport> traced(std::shared_ptr<HttpTransport> transport,
                                                    const std::shared_ptr<Tracer>& tracer);

}  // namespace latchkey
