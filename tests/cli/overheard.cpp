// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cctype>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.test.overheard;
import latchkey.core;
import latchkey.http;
import latchkey.http.trace;

namespace latchkey::test {
namespace {

constexpr std::size_t kShortest = 14;

// The alphabets of base64, base64url, hexadecimal and base32.
bool is_token_character(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_';
}

bool looks_random(std::string_view word) {
  const auto digits = std::count_if(word.begin(), word.end(), [](char c) {
    return std::isdigit(static_cast<unsigned char>(c)) != 0;
  });
  return word.size() >= kShortest && digits >= 2;
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return out;
}

}  // namespace

class Overheard::Ear final : public HttpTransport {
 public:
  Ear(std::shared_ptr<HttpTransport> inner, Overheard& owner)
      : inner_(std::move(inner)), owner_(owner) {}

  Result<HttpResponse> send(const HttpRequest& request, const SendOptions& options) override {
    owner_.hear(request.url.target());
    for (const auto& [name, value] : request.headers.fields()) owner_.hear(value);
    owner_.hear(request.body.expose());
    if (request.authorization) owner_.hear(request.authorization->credentials.expose());
    auto response = inner_->send(request, options);
    if (!response) return response;
    for (const auto& [name, value] : response->headers.fields()) owner_.hear(value);
    owner_.hear(response->body.expose());
    return response;
  }

 private:
  std::shared_ptr<HttpTransport> inner_;
  Overheard& owner_;
};

Overheard::Overheard(std::shared_ptr<Clock> clock)
    : tracer_(std::make_shared<Tracer>(
          [this](const TraceEvent& event) {
            const std::scoped_lock lock(mutex_);
            lines_ += trace_line(event) + "\n";
          },
          std::move(clock), random_)) {}

Overheard::~Overheard() = default;

std::shared_ptr<HttpTransport> Overheard::listen_to(std::shared_ptr<HttpTransport> transport) {
  return std::make_shared<Ear>(std::move(transport), *this);
}

std::shared_ptr<HttpTransport> Overheard::around(std::shared_ptr<HttpTransport> transport) {
  return traced(listen_to(std::move(transport)), tracer_);
}

void Overheard::hear(std::string_view text) {
  const std::scoped_lock lock(mutex_);
  while (!text.empty()) {
    const auto end = std::find_if_not(text.begin(), text.end(), is_token_character);
    const std::string_view word(text.begin(), end);
    if (looks_random(word)) heard_.insert(std::string(word));
    text.remove_prefix(std::max<std::size_t>(1, word.size()));
  }
}

std::string Overheard::trace() const {
  const std::scoped_lock lock(mutex_);
  return lines_;
}

std::vector<std::string> Overheard::secrets() const {
  const std::scoped_lock lock(mutex_);
  return {heard_.begin(), heard_.end()};
}

std::vector<std::string> Overheard::leaked_in(std::string_view text) const {
  const std::string searched = lower(text);
  std::vector<std::string> found;
  for (const std::string& secret : secrets()) {
    if (searched.find(lower(secret)) != std::string::npos) found.push_back(secret);
  }
  return found;
}

}  // namespace latchkey::test
