// SPDX-License-Identifier: MIT
module;
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.scripted_transport;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.http;

namespace latchkey::test {

HttpResponse answer(int status, HeaderList headers, std::string_view body) {
  HttpResponse response{.status = status, .body = SecretString(body)};
  for (const auto& [name, value] : headers) response.headers.add(name, value).value();
  return response;
}

HttpResponse json_answer(int status, std::string_view body, HeaderList headers) {
  auto response = answer(status, headers, body);
  response.headers.set("Content-Type", "application/json").value();
  return response;
}

ScriptedTransport& ScriptedTransport::push(Result<HttpResponse> response) {
  // A Handler must be copyable and an answer is not, so it is shared and used once.
  auto once = std::make_shared<Result<HttpResponse>>(std::move(response));
  return push([once](const HttpRequest&, const SendOptions&) { return std::move(*once); });
}

ScriptedTransport& ScriptedTransport::push(Handler handler) {
  const std::scoped_lock lock(mutex_);
  queue_.push_back(std::move(handler));
  return *this;
}

Result<HttpResponse> ScriptedTransport::send(const HttpRequest& request,
                                             const SendOptions& options) {
  Handler handler;
  {
    std::unique_lock lock(mutex_);
    requests_.push_back(request.clone());
    options_.push_back(options);
    if (queue_.empty()) {
      handler = handler_;
    } else {
      handler = std::move(queue_.front());
      queue_.pop_front();
    }
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
  }
  if (handler) return handler(request, options);
  return make_error(
      ErrorCode::unreachable, "scripted.unexpected",
      "cannot reach " + printable(request.url.text(), 200) + ": the test has no answer for it");
}

std::vector<HttpRequest> ScriptedTransport::requests() const {
  const std::scoped_lock lock(mutex_);
  std::vector<HttpRequest> copies;
  for (const auto& request : requests_) copies.push_back(request.clone());
  return copies;
}

std::vector<SendOptions> ScriptedTransport::options() const {
  const std::scoped_lock lock(mutex_);
  return options_;
}

std::size_t ScriptedTransport::count() const {
  const std::scoped_lock lock(mutex_);
  return requests_.size();
}

void ScriptedTransport::hold() {
  const std::scoped_lock lock(mutex_);
  held_ = true;
}

void ScriptedTransport::release() {
  const std::scoped_lock lock(mutex_);
  held_ = false;
  changed_.notify_all();
}

void ScriptedTransport::wait_for(std::size_t count) const {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return requests_.size() >= count; });
}

}  // namespace latchkey::test
