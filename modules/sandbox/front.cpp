// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.sandbox.front;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.sandbox.accounts;
import latchkey.sandbox.authorization;
import latchkey.sandbox.authorization_request;
import latchkey.sandbox.client_auth;
import latchkey.sandbox.clients;
import latchkey.sandbox.device;
import latchkey.sandbox.message;
import latchkey.sandbox.pages;
import latchkey.sandbox.sign_in;

namespace latchkey::sandbox {
namespace {

constexpr std::string_view kWrongPassword = "Wrong handle or password.";

Response no_such_request() {
  return error_page(400, "There is no such request, or it is over.", "authorize.unknown");
}

Response foreign_form() {
  return error_page(400, "This did not come from the sign-in page.", "authorize.foreign_form");
}

Response framed() {
  return error_page(400, "This page must not be part of another.", "authorize.framed");
}

Response with_detail(Response response, std::string_view detail) {
  response.detail = detail;
  return response;
}

Response page_of(const AuthorizationRequest& pending, std::string_view identifier,
                 std::string_view problem, int status) {
  return sign_in_page({.client_id = pending.caller.client_id(),
                       .request_uri = pending.request_uri,
                       .redirect_uri = pending.redirect_uri,
                       .scope = pending.scope,
                       .form_token = pending.page.form_token,
                       .identifier = std::string(identifier),
                       .problem = std::string(problem)},
                      status);
}

Response page_of(const DeviceRequest& pending, std::string_view identifier,
                 std::string_view problem, int status) {
  return device_page({.client_id = pending.caller.client_id(),
                      .user_code = shown_user_code(pending.user_code),
                      .scope = pending.scope,
                      .form_token = pending.page.form_token,
                      .identifier = std::string(identifier),
                      .problem = std::string(problem)},
                     status);
}

}  // namespace

Response Front::open(const Request& request) {
  const auto fields = form_decode(request.query);
  if (!fields) return error_page(400, "The address is malformed.", "authorize.malformed");
  if (!SignInDesk::is_navigation(request)) return framed();
  const auto client_id = field(*fields, "client_id");
  const auto request_uri = field(*fields, "request_uri");
  if (client_id && request_uri && fields->size() == 2) {
    return open_pushed(request, *client_id, *request_uri);
  }
  return open_plain(request, *fields);
}

Response Front::open_pushed(const Request& request, std::string_view client_id,
                            std::string_view request_uri) {
  auto* pending = desk_.find(request_uri, client_id);
  return pending == nullptr ? no_such_request() : show(*pending, request);
}

// RFC 6749 §4.1.2.1: without a good client and redirect URI the answer must stay here.
Response Front::open_plain(const Request& request, const FormFields& fields) {
  const auto client_id = field(fields, "client_id");
  Caller caller{.client = clients_.find(client_id.value_or("")), .key = {}, .jkt = {}};
  if (!caller.client) {
    return error_page(400, "The application is not known here.", "authorize.client_id");
  }
  if (caller.client->pushed_only || field(fields, "request_uri")) {
    return error_page(400, "The address must have a client_id and a pushed request, and no more.",
                      "authorize.not_pushed");
  }
  auto redirect_uri = read_redirect(fields, caller, "authorize");
  if (!redirect_uri) {
    return error_page(400, "The way back is not one of the application's.",
                      redirect_uri.error().detail);
  }
  const auto pending = desk_.open(fields, std::move(caller), *redirect_uri);
  if (pending) return show(**pending, request);
  const Error& error = pending.error();
  return with_detail(redirect_to(desk_.refuse(*redirect_uri, field(fields, "state").value_or(""),
                                              error.oauth->error, error.oauth->error_description)),
                     error.detail);
}

const Account* Front::approves_by_itself(const AuthorizationRequest& pending) {
  const bool only_one = pending.login_hint.empty() && accounts_.all().size() == 1;
  const Account* account =
      accounts_.find_here(only_one ? accounts_.all().front().did : pending.login_hint);
  return account != nullptr && account->auto_approve ? account : nullptr;
}

Response Front::show(AuthorizationRequest& pending, const Request& request) {
  if (const Account* account = approves_by_itself(pending)) {
    return redirect_to(desk_.approve(pending, account->did));
  }
  if (pending.prompt == "none") {
    return with_detail(redirect_to(desk_.deny(pending, "login_required", "nobody is signed in")),
                       "authorize.login_required");
  }
  if (!sign_in_.show(pending.page, request)) {
    return with_detail(
        redirect_to(desk_.deny(pending, "access_denied", "opened in a second browser")),
        "authorize.second_browser");
  }
  Response response = page_of(pending, pending.login_hint, {}, 200);
  response.headers.push_back(SignInDesk::cookie(pending.page, "/oauth"));
  return response;
}

Response Front::decide(const Request& request) {
  const auto form = sign_in_.own_form(request);
  if (!form) return foreign_form();
  auto* pending =
      desk_.find(field(*form, "request_uri").value_or(""), field(*form, "client_id").value_or(""));
  if (pending == nullptr) return no_such_request();
  const auto decision = sign_in_.decide(pending->page, request, *form);
  switch (decision.kind) {
    case Decision::Kind::allowed:
      return redirect_to(desk_.approve(*pending, decision.account->did));
    case Decision::Kind::denied:
      return redirect_to(desk_.deny(*pending, "access_denied", "the user said no"));
    case Decision::Kind::too_many_failures:
      return redirect_to(desk_.deny(*pending, "access_denied", "too many wrong passwords"));
    case Decision::Kind::wrong_password:
      return with_detail(
          page_of(*pending, field(*form, "identifier").value_or(""), kWrongPassword, 401),
          "authorize.password");
    case Decision::Kind::foreign:
      break;
  }
  return foreign_form();
}

Response Front::open_device(const Request& request) {
  const auto fields = form_decode(request.query);
  if (!fields) return error_page(400, "The address is malformed.", "authorize.malformed");
  if (!SignInDesk::is_navigation(request)) return framed();
  const auto user_code = field(*fields, "user_code");
  if (!user_code) return user_code_page({}, {}, 200);
  auto* pending = devices_.find(*user_code);
  if (pending == nullptr) {
    return with_detail(user_code_page(*user_code, "There is no such code, or it is over.", 404),
                       "device.user_code");
  }
  // A code may be typed again elsewhere: the form that was shown last is the one that counts.
  if (!sign_in_.show(pending->page, request)) {
    pending->page.browser.clear();
    static_cast<void>(sign_in_.show(pending->page, request));
  }
  Response response = page_of(*pending, {}, {}, 200);
  response.headers.push_back(SignInDesk::cookie(pending->page, "/device"));
  return response;
}

Response Front::decide_device(const Request& request) {
  const auto form = sign_in_.own_form(request);
  if (!form) return foreign_form();
  auto* pending = devices_.find(field(*form, "user_code").value_or(""));
  if (pending == nullptr) return no_such_request();
  const auto decision = sign_in_.decide(pending->page, request, *form);
  switch (decision.kind) {
    case Decision::Kind::allowed:
      devices_.approve(*pending, decision.account->did);
      return device_done_page("The device is signed in.");
    case Decision::Kind::denied:
    case Decision::Kind::too_many_failures:
      devices_.deny(*pending);
      return device_done_page("The device was refused.");
    case Decision::Kind::wrong_password:
      return with_detail(
          page_of(*pending, field(*form, "identifier").value_or(""), kWrongPassword, 401),
          "authorize.password");
    case Decision::Kind::foreign:
      break;
  }
  return foreign_form();
}

}  // namespace latchkey::sandbox
