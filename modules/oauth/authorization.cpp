// SPDX-License-Identifier: MIT
module;
#include <sodium.h>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.oauth.authorization;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.url;
import latchkey.http;
import latchkey.oauth.client_auth;
import latchkey.session;

namespace latchkey {
namespace {

constexpr std::size_t kMaxQuery = 16 * 1024;
constexpr std::size_t kMaxState = 512;
constexpr std::size_t kMaxCode = 4 * 1024;
constexpr std::size_t kMaxParameterName = 128;
constexpr std::size_t kMaxRequestUri = 2 * 1024;
constexpr double kMaxParSeconds = 86'400;

bool is_visible_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

Error par_error(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::invalid_response, "par." + std::string(fact),
                    "cannot use the answer to the pushed authorization request: " + why);
}

Error callback_error(std::string_view fact, const std::string& why) {
  return make_error(ErrorCode::callback_invalid, "callback." + std::string(fact),
                    "login callback refused: " + why);
}

// The members that decide, each there at most once (RFC 6749 §3.1).
struct CallbackFields {
  const std::string* response = nullptr;
  const std::string* state = nullptr;
  const std::string* iss = nullptr;
  const std::string* code = nullptr;
  const std::string* error = nullptr;
  const std::string* error_description = nullptr;
  const std::string* error_uri = nullptr;
};

Result<CallbackFields> find_fields(const FormFields& fields) {
  CallbackFields out;
  const std::pair<std::string_view, const std::string**> wanted[] = {
      {"response", &out.response},
      {"state", &out.state},
      {"iss", &out.iss},
      {"code", &out.code},
      {"error", &out.error},
      {"error_description", &out.error_description},
      {"error_uri", &out.error_uri},
  };
  // JARM is refused before anything else is looked at, even twice.
  const bool jarm = std::any_of(fields.begin(), fields.end(),
                                [](const auto& field) { return field.first == "response"; });
  if (jarm)
    return callback_error("jarm", "it carries a signed response (JARM), which was not asked for");
  for (const auto& [name, to] : wanted) {
    auto value = form_value(fields, name);
    if (!value)
      return callback_error("malformed", "the parameter " + std::string(name) + " occurs twice");
    *to = *value;
  }
  if (out.state != nullptr && out.state->size() > kMaxState) {
    return callback_error("malformed", "its state is longer than 512 characters");
  }
  if (out.code != nullptr && (out.code->size() > kMaxCode || !is_visible_ascii(*out.code))) {
    return callback_error("malformed", "its code is over 4 KiB or not printable ASCII");
  }
  return out;
}

Result<void> check_origin_of(const CallbackFields& found, const PendingLogin& pending) {
  if (found.state == nullptr || pending.state.empty() ||
      !constant_time_equal(*found.state, pending.state)) {
    return callback_error("state_mismatch",
                          "its state is not the one of this login; it may come from an older tab, "
                          "log in again");
  }
  if (found.iss == nullptr) {
    if (!pending.iss_required) return {};
    return callback_error("iss_missing", "it does not say which issuer it comes from (RFC 9207)");
  }
  if (pending.issuer.empty() && !pending.iss_required) return {};
  if (*found.iss != pending.issuer) {
    return callback_error("iss_mismatch", "it comes from the issuer " + printable(*found.iss, 200) +
                                              ", and the login began with " +
                                              printable(pending.issuer, 200));
  }
  return {};
}

Error server_refusal(const CallbackFields& found) {
  const auto text = [](const std::string* field) {
    return field == nullptr ? std::string_view{} : std::string_view(*field);
  };
  auto body = shown_error(*found.error, text(found.error_description), text(found.error_uri));
  const bool denied = *found.error == "access_denied";
  std::string message = denied ? "login refused: the user or the server said no"
                               : "login failed: the server answered " + body.error;
  if (!body.error_description.empty()) message += " (" + body.error_description + ")";
  Error error =
      make_error(denied ? ErrorCode::access_denied : ErrorCode::provider_error,
                 denied ? "callback.access_denied" : "callback.error", std::move(message));
  error.oauth = std::move(body);
  return error;
}

void wipe(FormFields& fields) {
  for (auto& [name, value] : fields) {
    if (!value.empty()) sodium_memzero(value.data(), value.size());
  }
}

Result<CallbackParameters> judge(const FormFields& fields, const PendingLogin& pending) {
  const auto found = find_fields(fields);
  if (!found) return found.error();
  if (auto ours = check_origin_of(*found, pending); !ours) return std::move(ours).error();
  if (found->error != nullptr) return server_refusal(*found);
  if (found->code == nullptr || found->code->empty()) {
    return callback_error("code_missing", "it has neither a code nor an error");
  }
  return CallbackParameters{*found->state, SecretString(*found->code),
                            found->iss == nullptr ? std::string{} : *found->iss};
}

// Names that a login sets itself, and those that would hide or replace them. A credential of the
// client has no business in a URL.
constexpr std::string_view kReserved[] = {"response_type",
                                          "response_mode",
                                          "client_id",
                                          "redirect_uri",
                                          "state",
                                          "scope",
                                          "nonce",
                                          "max_age",
                                          "resource",
                                          "code_challenge",
                                          "dpop_jkt",
                                          "code_challenge_method",
                                          "request",
                                          "request_uri",
                                          "code_verifier",
                                          "client_secret",
                                          "client_assertion",
                                          "client_assertion_type"};

bool is_parameter_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxParameterName && is_visible_ascii(name);
}

// What is asked for, whether it is pushed or stands in the URL. client_id is not in it: who sends
// this adds that.
FormFields request_fields(const PendingLogin& pending, std::string_view code_challenge,
                          std::string_view login_hint, const FormFields& extra, ResponseMode mode) {
  FormFields fields{{"response_type", "code"},
                    {"code_challenge", std::string(code_challenge)},
                    {"code_challenge_method", "S256"},
                    {"state", pending.state},
                    {"redirect_uri", pending.redirect_uri}};
  if (!pending.scope.empty()) fields.emplace_back("scope", pending.scope);
  if (!pending.nonce.empty()) fields.emplace_back("nonce", pending.nonce);
  if (pending.max_age) fields.emplace_back("max_age", std::to_string(pending.max_age->count()));
  for (const std::string& resource : pending.resources) fields.emplace_back("resource", resource);
  if (!login_hint.empty()) fields.emplace_back("login_hint", login_hint);
  if (mode == ResponseMode::form_post) fields.emplace_back("response_mode", "form_post");
  fields.insert(fields.end(), extra.begin(), extra.end());
  return fields;
}

// The parameters behind what the endpoint has in its query already (RFC 6749 §3.1).
Result<Url> with_parameters(std::string_view authorization_endpoint, const FormFields& fields) {
  auto url = parse_endpoint(authorization_endpoint, "authorization");
  if (!url) return url;
  std::string target = url->target();
  if (!url->has_query()) {
    target += '?';
  } else if (!url->query().empty()) {
    target += '&';
  }
  bool first = true;
  for (const auto& [name, value] : fields) {
    if (!first) target += '&';
    first = false;
    target += percent_encode(name) + '=' + percent_encode(value);
  }
  return url->with_target(target);
}

}  // namespace

Result<void> check_extra_parameters(const FormFields& extra) {
  for (auto field = extra.begin(); field != extra.end(); ++field) {
    const std::string& name = field->first;
    const auto problem = [&](std::string_view fact, const std::string& why) {
      return make_error(ErrorCode::invalid_argument, "authorization." + std::string(fact),
                        "cannot send the parameter " + printable(name, 100) +
                            " with the authorization request: " + why);
    };
    if (!is_parameter_name(name)) {
      return problem("parameter_name", "its name is empty, too long, or no plain word");
    }
    if (std::find(std::begin(kReserved), std::end(kReserved), name) != std::end(kReserved)) {
      return problem("reserved_parameter", "the login sets it itself; use the option for it");
    }
    if (std::any_of(extra.begin(), field, [&](const auto& one) { return one.first == name; })) {
      return problem("duplicate_parameter", "it is given twice (RFC 6749 section 3.1)");
    }
  }
  return {};
}

Result<HttpRequest> build_par_request(const PendingLogin& pending, std::string_view code_challenge,
                                      std::string_view login_hint, ClientAuthenticator& client,
                                      const FormFields& extra, ResponseMode mode) {
  if (auto allowed = check_extra_parameters(extra); !allowed) return std::move(allowed).error();
  auto url = parse_endpoint(pending.par_endpoint, "par");
  if (!url) return std::move(url).error();
  ClientRequest request{.url = *std::move(url)};
  for (const auto& [name, value] :
       request_fields(pending, code_challenge, login_hint, extra, mode)) {
    request.form.add(name, value);
  }
  // It is a parameter of the authorization request itself, also where a header names the client
  // (RFC 9126 §2.1).
  if (client.method() == ClientAuthMethod::client_secret_basic) {
    request.form.add("client_id", pending.client_id);
  }
  return finish_request(std::move(request), client, pending.issuer, pending.client_auth_kid);
}

Result<ParAnswer> process_par_response(const HttpResponse& response, TimePoint now) {
  if (response.status != 201 && response.status != 200) return oauth_error("par", response, now);
  if (!has_json_content(response)) return par_error("content_type", "its content type is not JSON");
  auto object = JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "par");
  if (!object) return std::move(object).error();
  auto request_uri = object->required_string("request_uri");
  if (!request_uri) return std::move(request_uri).error();
  if (request_uri->size() > kMaxRequestUri || !is_visible_ascii(*request_uri)) {
    return par_error("request_uri", "its request_uri is over 2 KiB or not printable ASCII");
  }
  ParAnswer answer{std::move(*request_uri), std::nullopt};
  const auto expires_in = object->number("expires_in");
  if (!expires_in) return expires_in.error();
  if (*expires_in) {
    if (!(**expires_in >= 1)) return par_error("expires_in", "it has expired already");
    answer.expires_in = std::chrono::seconds(
        static_cast<std::chrono::seconds::rep>(std::min(**expires_in, kMaxParSeconds)));
  }
  return answer;
}

Result<Url> authorization_url(std::string_view authorization_endpoint, std::string_view client_id,
                              std::string_view request_uri) {
  return with_parameters(authorization_endpoint, {{"client_id", std::string(client_id)},
                                                  {"request_uri", std::string(request_uri)}});
}

Result<Url> plain_authorization_url(std::string_view authorization_endpoint,
                                    const PendingLogin& pending, std::string_view code_challenge,
                                    std::string_view login_hint, const FormFields& extra,
                                    ResponseMode mode) {
  if (auto allowed = check_extra_parameters(extra); !allowed) return std::move(allowed).error();
  FormFields fields = request_fields(pending, code_challenge, login_hint, extra, mode);
  fields.emplace(fields.begin(), "client_id", pending.client_id);
  if (!pending.dpop_jkt.empty()) fields.emplace_back("dpop_jkt", pending.dpop_jkt);
  return with_parameters(authorization_endpoint, fields);
}

std::string callback_state(std::string_view query) {
  if (query.size() > kMaxQuery) return {};
  auto fields = form_decode(query);
  if (!fields) return {};
  const auto state = form_value(*fields, "state");
  std::string out;
  if (state && *state != nullptr && (*state)->size() <= kMaxState) out = **state;
  wipe(*fields);
  return out;
}

Result<void> check_browser(const PendingLogin& pending, const SecretString& binding) {
  if (pending.browser_binding_hash.empty() ||
      constant_time_equal(sha256_base64url(binding.expose()), pending.browser_binding_hash)) {
    return {};
  }
  return callback_error("other_browser",
                        "it came to another browser than the one that began this login, or its "
                        "cookie is gone; log in again, in one browser");
}

Result<CallbackParameters> process_callback(std::string_view query, const PendingLogin& pending) {
  if (query.size() > kMaxQuery) return callback_error("malformed", "its query is over 16 KiB");
  auto fields = form_decode(query);
  if (!fields) return callback_error("malformed", "its query does not decode");
  auto judged = judge(*fields, pending);
  wipe(*fields);
  return judged;
}

}  // namespace latchkey
