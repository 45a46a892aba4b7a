// SPDX-License-Identifier: MIT
module;
#include <string>
#include <string_view>
#include <utility>
module latchkey.core.error;

namespace latchkey {

std::string_view to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::invalid_url:
      return "invalid_url";
    case ErrorCode::insecure_address:
      return "insecure_address";
    case ErrorCode::unreachable:
      return "unreachable";
    case ErrorCode::tls_failed:
      return "tls_failed";
    case ErrorCode::timeout:
      return "timeout";
    case ErrorCode::cancelled:
      return "cancelled";
    case ErrorCode::connection_lost:
      return "connection_lost";
    case ErrorCode::response_too_large:
      return "response_too_large";
    case ErrorCode::invalid_response:
      return "invalid_response";
    case ErrorCode::invalid_metadata:
      return "invalid_metadata";
    case ErrorCode::identity_not_found:
      return "identity_not_found";
    case ErrorCode::identity_mismatch:
      return "identity_mismatch";
    case ErrorCode::provider_error:
      return "provider_error";
    case ErrorCode::access_denied:
      return "access_denied";
    case ErrorCode::invalid_grant:
      return "invalid_grant";
    case ErrorCode::invalid_client:
      return "invalid_client";
    case ErrorCode::dpop_refused:
      return "dpop_refused";
    case ErrorCode::callback_invalid:
      return "callback_invalid";
    case ErrorCode::token_invalid:
      return "token_invalid";
    case ErrorCode::login_required:
      return "login_required";
    case ErrorCode::session_dead:
      return "session_dead";
    case ErrorCode::refresh_interrupted:
      return "refresh_interrupted";
    case ErrorCode::session_not_durable:
      return "session_not_durable";
    case ErrorCode::client_mismatch:
      return "client_mismatch";
    case ErrorCode::backing_off:
      return "backing_off";
    case ErrorCode::conflict:
      return "conflict";
    case ErrorCode::corrupt:
      return "corrupt";
    case ErrorCode::locked:
      return "locked";
    case ErrorCode::wrong_key:
      return "wrong_key";
    case ErrorCode::schema_too_new:
      return "schema_too_new";
    case ErrorCode::insecure_location:
      return "insecure_location";
    case ErrorCode::io:
      return "io";
    case ErrorCode::invalid_key:
      return "invalid_key";
    case ErrorCode::key_missing:
      return "key_missing";
    case ErrorCode::resource_error:
      return "resource_error";
    case ErrorCode::record_not_found:
      return "record_not_found";
    case ErrorCode::invalid_swap:
      return "invalid_swap";
    case ErrorCode::insufficient_scope:
      return "insufficient_scope";
    case ErrorCode::rate_limited:
      return "rate_limited";
  }
  return "unknown";
}

Error make_error(ErrorCode code, std::string_view detail, std::string message) {
  return Error{.code = code, .detail = std::string(detail), .message = std::move(message)};
}

Exception::Exception(Error error) : error_(std::move(error)) {
  what_ = error_.message + " (" + error_.detail + ")";
}

void throw_exception(const Error& error) {
  throw Exception(error);
}

}  // namespace latchkey
