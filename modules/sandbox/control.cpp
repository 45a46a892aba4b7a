// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.control;
import latchkey.core.crypto;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.http;
import latchkey.sandbox;
import latchkey.sandbox.control_calls;
import latchkey.sandbox.server;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kBearer = "Bearer ";

Response error_answer(const Error& error) {
  const int usual = error.code == ErrorCode::conflict ? 409 : 400;
  return json_answer(
      error.http_status != 0 ? error.http_status : usual,
      json_object({{"error", json_quote(error.detail)}, {"message", json_quote(error.message)}}));
}

}  // namespace

struct ControlServer::Impl {
  [[nodiscard]] Result<void> admit(const Request& request) const {
    const auto hosts = request.headers.all("Host");
    const auto port = std::string_view(url).substr(url.rfind(':'));
    if (hosts.size() != 1 || (hosts[0] != "127.0.0.1" + std::string(port) &&
                              hosts[0] != "localhost" + std::string(port))) {
      return control_refusal(421, "control.host",
                             "the Host must be 127.0.0.1 or localhost, with the port");
    }
    const auto values = request.headers.all("Authorization");
    if (values.size() == 1 && values[0].starts_with(kBearer) &&
        constant_time_equal(values[0].substr(kBearer.size()), token)) {
      return {};
    }
    return control_refusal(
        401, "control.token",
        "the token is missing or wrong; send Authorization: Bearer and the token that "
        "the sandbox printed");
  }

  [[nodiscard]] Result<std::string> answer(const Request& request) const {
    if (const auto admitted = admit(request); !admitted) return admitted.error();
    return control_call(*sandbox, request);
  }

  [[nodiscard]] Delivery handle(const Request& request) const {
    auto answered = answer(request);
    Response response =
        answered ? json_answer(200, *std::move(answered)) : error_answer(answered.error());
    response.headers.emplace_back("Cache-Control", "no-store");
    if (response.status == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
    return {.response = std::move(response)};
  }

  Sandbox* sandbox = nullptr;
  std::string url, token;
  HttpServer http{};  // last: gone before what its thread uses
};

Result<std::unique_ptr<ControlServer>> ControlServer::start(Sandbox& sandbox,
                                                            ControlOptions options) {
  if (!options.random) options.random = std::make_shared<SystemRandom>();
  auto impl = std::make_unique<Impl>();
  const auto port = impl->http.listen(options.port);
  if (!port) return port.error();
  impl->sandbox = &sandbox;
  impl->url = "http://127.0.0.1:" + std::to_string(*port);
  impl->token = random_token(*options.random, 24);
  impl->http.start(
      [state = impl.get()](std::size_t, const Request& request) { return state->handle(request); });
  return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

ControlServer::~ControlServer() = default;

const std::string& ControlServer::url() const noexcept {
  return impl_->url;
}

const std::string& ControlServer::token() const noexcept {
  return impl_->token;
}

}  // namespace latchkey::sandbox
