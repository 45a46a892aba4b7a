// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <thread>
#include <utility>
module latchkey.http.trace;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.trace.reading;

namespace latchkey {
namespace {

constexpr std::size_t kMostThreads = 256;
// One for a nonce, one for the clock, one for the connection, and the same with a new token.
constexpr unsigned kMostAttempts = 8;
// Between an answer and the repetition that it asks for: a token may have to be renewed.
constexpr std::chrono::seconds kLongestPause{60};

Duration since(std::chrono::steady_clock::time_point began, const Clock& clock) {
  return std::chrono::duration_cast<Duration>(clock.steady_now() - began);
}

}  // namespace

Tracer::Tracer(TraceSink sink, std::shared_ptr<Clock> clock, Random& random)
    : sink_(std::move(sink)), clock_(std::move(clock)) {
  random.fill(std::span(reinterpret_cast<unsigned char*>(&run_), sizeof run_));
}

std::uint64_t Tracer::record(TraceItem what) {
  const std::scoped_lock lock(mutex_);
  const TraceEvent event{.run = run_, .id = ++last_, .at = clock_->now(), .what = std::move(what)};
  try {
    sink_(event);
  } catch (...) {
    // As TraceSink says.
  }
  return event.id;
}

TracingTransport::TracingTransport(std::shared_ptr<HttpTransport> inner,
                                   std::shared_ptr<Tracer> tracer)
    : inner_(std::move(inner)), tracer_(std::move(tracer)) {}

TracingTransport::Last TracingTransport::compare_with_last(const HttpRequest& request,
                                                           TracedRequest& traced) {
  Last now{
      .method = request.method, .url = sha256(request.url.text()), .body_size = body_size(request)};
  const std::scoped_lock lock(mutex_);
  const auto found = last_.find(std::this_thread::get_id());
  if (found == last_.end()) return now;
  const Last& last = found->second;
  const bool repeats = last.method == now.method && last.url == now.url &&
                       last.body_size == now.body_size && last.attempt < kMostAttempts &&
                       tracer_->clock().steady_now() - last.ended <= kLongestPause;
  if (!repeats) return now;
  now.attempt = traced.attempt = last.attempt + 1;
  traced.retry = last.cause;
  traced.repeats = last.event;
  last_.erase(found);
  return now;
}

void TracingTransport::remember(Last last) {
  if (last.cause == TraceRetry::none) return;
  last.ended = tracer_->clock().steady_now();
  const std::scoped_lock lock(mutex_);
  if (last_.size() >= kMostThreads) last_.erase(last_.begin());
  last_.insert_or_assign(std::this_thread::get_id(), std::move(last));
}

Result<HttpResponse> TracingTransport::send(const HttpRequest& request,
                                            const SendOptions& options) {
  TracedRequest traced = read_request(request);
  Last last = compare_with_last(request, traced);
  const auto began = tracer_->clock().steady_now();
  last.event = tracer_->record(std::move(traced));
  auto response = inner_->send(request, options);
  const Duration took = since(began, tracer_->clock());
  if (response) {
    TracedAnswer answer = read_answer(request, *response, tracer_->clock().now());
    answer.request = last.event;
    answer.took = took;
    tracer_->record(std::move(answer));
    last.cause = reason_to_repeat(*response);
  } else {
    const Error& error = response.error();
    tracer_->record(TracedFailure{.request = last.event,
                                  .code = error.code,
                                  .detail = TraceDetail(error.detail),
                                  .delivery = error.delivery,
                                  .took = took});
    const bool lost = error.code == ErrorCode::connection_lost;
    last.cause = lost ? TraceRetry::connection_lost : TraceRetry::none;
  }
  remember(std::move(last));
  return response;
}

std::shared_ptr<HttpTransport> traced(std::shared_ptr<HttpTransport> transport,
                                      const std::shared_ptr<Tracer>& tracer) {
  if (!tracer) return transport;
  const auto* tracing = dynamic_cast<const TracingTransport*>(transport.get());
  if (tracing != nullptr && tracing->tracer() == tracer) return transport;
  return std::make_shared<TracingTransport>(std::move(transport), tracer);
}

}  // namespace latchkey
