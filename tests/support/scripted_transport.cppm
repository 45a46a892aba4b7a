// SPDX-License-Identifier: MIT
module;
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <initializer_list>
#include <mutex>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.test.scripted_transport;
import latchkey.core.error;
import latchkey.http;

// A network that answers as a test tells it to, and remembers what it was asked.

export namespace latchkey::test {

using HeaderList = std::initializer_list<std::pair<std::string_view, std::string_view>>;

/// An answer with headers and a body.
[[nodiscard]] HttpResponse answer(int status, HeaderList headers = {}, std::string_view body = {});
/// The same with Content-Type: application/json.
[[nodiscard]] HttpResponse json_answer(int status, std::string_view body, HeaderList headers = {});

/// Thread-safe. Each request takes the next queued answer; when there is none, the handler answers;
/// without a handler the answer is the error unreachable, "scripted.unexpected".
class ScriptedTransport final : public HttpTransport {
 public:
  using Handler = std::function<Result<HttpResponse>(const HttpRequest&, const SendOptions&)>;

  ScriptedTransport() = default;
  explicit ScriptedTransport(Handler handler) : handler_(std::move(handler)) {}

  ScriptedTransport& push(Result<HttpResponse> response);
  ScriptedTransport& push(Handler handler);

  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request,
                                          const SendOptions& options) override;

  /// Clones of all requests so far, in the order of their arrival.
  [[nodiscard]] std::vector<HttpRequest> requests() const;
  [[nodiscard]] std::vector<SendOptions> options() const;
  [[nodiscard]] std::size_t count() const;

  /// From now on requests arrive, but are answered only after release().
  void hold();
  void release();
  /// Waits until `count` requests have arrived.
  void wait_for(std::size_t count) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool held_ = false;
  Handler handler_;
  std::deque<Handler> queue_;
  std::vector<HttpRequest> requests_;
  std::vector<SendOptions> options_;
};

}  // namespace latchkey::test
