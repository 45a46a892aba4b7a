// SPDX-License-Identifier: MIT
// Shows the pages of a login to a browser, for tests/interop/pages.test.mjs:
//
//   page_server [--https FOLDER]      FOLDER: where the certificate for localhost is kept
//
// Reads lines from standard input. Each begins a login: it is the state, and the name of the page
// which the callback gets (see page_of). The redirect URI is said in a line of its own.

#include <chrono>
#include <functional>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

import latchkey.core;
import latchkey.loopback.certificate;
import latchkey.loopback.pages;
import latchkey.loopback.receiver;

using namespace latchkey;

namespace {

SuccessContext rich_success() {
  return {.account = "ada",
          .application = "Analytical Engine",
          .subject = "248289761001",
          .name = "Ada Lovelace",
          .email = "ada.lovelace@example.com",
          .email_verified = true,
          .identity = IdentityCheck::validated,
          .scopes = {"openid", "profile", "email", "offline_access",
                     "https://api.example.com/engines.notes.readwrite"},
          .expires_in = std::chrono::minutes{59},
          .has_refresh_token = true};
}

FailureContext rich_failure() {
  return {.error = make_error(ErrorCode::access_denied, "callback.access_denied",
                              "the server did not let you in: you chose not to allow it; begin the "
                              "login again and allow it there"),
          .application = "Analytical Engine"};
}

SuccessContext hostile_success() {
  const std::string evil =
      "<img src=https://evil.example/x onerror=alert(1)><script>alert(1)</script>";
  return {.account = evil,
          .application = evil,
          .subject = std::string(400, 'W'),
          .name = "\xD9\x85\xD8\xB1\xD9\x8A\xD9\x85 " + evil,
          .email = std::string(300, 'm') + "@example.com",
          .picture = "https://evil.example/picture",
          .identity = IdentityCheck::unvalidated,
          .scopes = std::vector<std::string>(100, std::string(100, 's'))};
}

ResultPage page_of(std::string_view name) {
  if (name == "success") return render_success({}, rich_success());
  if (name == "success-plain") return {.html = success_page("alice.example.com", "latchkey")};
  if (name == "success-hostile") return render_success({}, hostile_success());
  if (name == "failure") return render_failure({}, rich_failure());
  if (name == "neutral") return {.html = stray_page()};
  throw std::runtime_error("there is no page " + std::string(name));
}

std::shared_ptr<const TlsCertificate> certificate(int count, char** words) {
  if (count == 1) return nullptr;
  if (count != 3 || std::string_view(words[1]) != "--https")
    throw std::runtime_error("usage: page_server [--https FOLDER]");
  return TlsCertificate::ensure_localhost(words[2]).value();
}

void serve(const std::shared_ptr<const TlsCertificate>& tls) {
  for (std::string state; std::getline(std::cin, state);) {
    const auto receiver = LoopbackReceiver::open({.certificate = tls}).value();
    std::cout << receiver->redirect_uri() << std::endl;
    auto held = receiver->wait(state, std::chrono::minutes{1}, {}, {}).value();
    held->answer(200, page_of(state));
  }
}

}  // namespace

int main(int count, char** words) try {
  serve(certificate(count, words));
  return 0;
} catch (const std::exception& failed) {
  std::cerr << "page_server: " << failed.what() << '\n';
  return 1;
}
