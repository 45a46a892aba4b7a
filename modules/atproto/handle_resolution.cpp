// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>
module latchkey.atproto.handle_resolution;
import latchkey.atproto.identifier;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.json;
import latchkey.core.os.process;
import latchkey.core.secret;
import latchkey.core.trim;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.dns;
import latchkey.http.policy;

namespace latchkey {
namespace {

constexpr std::string_view kRecordName = "_atproto.";
constexpr std::string_view kRecordPrefix = "did=";

Error not_a_did(const std::string& where, const std::string& remedy) {
  return make_error(ErrorCode::invalid_response, "handle.not_a_did",
                    "cannot use the answer of " + where + ": it is not a DID; " + remedy);
}

Error wrong_status(const std::string& where, int status) {
  auto error = make_error(ErrorCode::invalid_response, "handle.status",
                          "cannot use the answer of " + where + ": its HTTP status is " +
                              std::to_string(status) + " and not 200");
  error.http_status = status;
  return error;
}

std::string file_of(std::string_view handle) {
  return "https://" + std::string(handle) + "/.well-known/atproto-did";
}

// HandleNotFound is what the lexicon says; the reference server says InvalidRequest, of a handle
// whose syntax was checked here.
bool says_unknown(const HttpResponse& response) {
  if (response.status == 404) return true;
  if (response.status != 400) return false;
  const auto body =
      JsonObject::parse(response.body.expose(), ErrorCode::invalid_response, "handle");
  if (!body) return false;
  const auto error = body->string("error");
  const auto message = body->string("message");
  if (!error || !*error) return false;
  return **error == "HandleNotFound" ||
         (**error == "InvalidRequest" && message && *message == "Unable to resolve handle");
}

bool is_ambiguous(const HandleAnswer& answer) {
  return !answer && answer.error().detail == "handle.ambiguous";
}

// Nothing that the other way could say would change it.
bool is_definite(const HandleAnswer& answer) {
  return answer ? answer->has_value() : is_ambiguous(answer);
}

// Two answers of which none is a DID.
HandleAnswer undecided(const std::string& handle, HandleAnswer dns, HandleAnswer host) {
  if (dns && host) return std::nullopt;
  const auto says = [](const HandleAnswer& answer) {
    return answer ? std::string("there is no DID") : answer.error().message;
  };
  auto message = "cannot resolve the handle " + handle + ": by DNS: " + says(dns) +
                 "; by https: " + says(host);
  auto error = host ? std::move(dns).error() : std::move(host).error();
  error.message = std::move(message);
  return error;
}

// A lookup on a thread of its own, stopped and waited for at the end of the object at the latest.
class Aside {
 public:
  using Ask = std::function<HandleAnswer(std::stop_token)>;
  /// `win` is called when the answer is definite.
  Aside(Ask ask, std::function<void()> win) : ask_(std::move(ask)), win_(std::move(win)) {
    try {
      thread_ = start_thread_without_signals([this] { run(); });
    } catch (const std::system_error&) {
      run();  // no thread is to be had: one after the other will do
    }
  }
  Aside(const Aside&) = delete;
  Aside& operator=(const Aside&) = delete;
  ~Aside() {
    stop();
    if (thread_.joinable()) thread_.join();
  }
  void stop() { stop_.request_stop(); }
  /// Waits for it.
  HandleAnswer answer() {
    if (thread_.joinable()) thread_.join();
    return std::move(answer_);
  }

 private:
  void run() {
    answer_ = ask_(stop_.get_token());
    if (is_definite(answer_)) win_();
  }
  Ask ask_;
  std::function<void()> win_;
  HandleAnswer answer_ = std::nullopt;
  std::stop_source stop_;
  std::thread thread_;
};

}  // namespace

HandleAnswer did_of_records(std::string_view handle, const std::vector<std::string>& records) {
  const std::string* only = nullptr;
  for (const auto& record : records) {
    if (!record.starts_with(kRecordPrefix)) continue;
    if (only != nullptr && *only != record) {
      return make_error(ErrorCode::identity_mismatch, "handle.ambiguous",
                        "cannot resolve the handle " + std::string(handle) +
                            ": two TXT records at " + std::string(kRecordName) +
                            std::string(handle) + " name different DIDs; remove one of them");
    }
    only = &record;
  }
  if (only == nullptr) return std::nullopt;
  auto did = parse_did(std::string_view(*only).substr(kRecordPrefix.size()));
  if (!did) {
    return not_a_did("DNS for " + std::string(kRecordName) + std::string(handle),
                     "the TXT record must be did= and the account's DID");
  }
  return std::optional(std::move(*did));
}

HandleAnswer process_handle_file(std::string_view handle, const HttpResponse& response) {
  if (response.status == 404) return std::nullopt;
  if (response.status != 200) return wrong_status(file_of(handle), response.status);
  const auto body = response.body.expose();
  auto did = parse_did(trimmed(body.substr(0, body.find('\n')), kBlanksAndLineEnds));
  if (!did) return not_a_did(file_of(handle), "serve the account's DID there as plain text");
  return std::optional(std::move(*did));
}

HandleAnswer ask_handle_server(HttpTransport& transport, const Url& server,
                               const std::string& handle, const std::stop_token& stop) {
  const auto url = server.with_target("/xrpc/com.atproto.identity.resolveHandle?handle=" + handle);
  if (!url) return url.error();
  const auto where = url->origin() + url->path();
  const auto response = transport.send(json_get(*url), handle_file_limits(stop));
  if (!response) return response.error();
  if (says_unknown(*response)) return std::nullopt;
  if (response->status != 200) return wrong_status(where, response->status);
  if (!has_json_content(*response)) {
    return make_error(ErrorCode::invalid_response, "handle.content_type",
                      "cannot use the answer of " + where +
                          ": its content type is not JSON; check the address of the server that "
                          "resolves handles");
  }
  const auto body =
      JsonObject::parse(response->body.expose(), ErrorCode::invalid_response, "handle");
  if (!body) return body.error();
  const auto text = body->required_string("did");
  if (!text) return text.error();
  auto did = parse_did(*text);
  if (!did) return not_a_did(where, "check the address of the server that resolves handles");
  return std::optional(std::move(*did));
}

HandleAnswer HandleResolver::ask_dns(const std::string& handle, std::stop_token stop) {
  const auto records =
      dns_->txt(std::string(kRecordName) + handle, DnsOptions{.stop = std::move(stop)});
  if (!records) return records.error();
  return did_of_records(handle, *records);
}

HandleAnswer HandleResolver::ask_host(const std::string& handle, std::stop_token stop) {
  const auto url = Url::parse(file_of(handle));
  if (!url) return url.error();
  const auto response = transport_->send(HttpRequest{.method = "GET", .url = *url},
                                         handle_file_limits(std::move(stop)));
  if (!response) return response.error();
  return process_handle_file(handle, *response);
}

HandleAnswer HandleResolver::ask_both(const std::string& handle, const std::stop_token& stop) {
  std::stop_source stop_host;
  Aside aside([&](std::stop_token token) { return ask_dns(handle, std::move(token)); },
              [&] { stop_host.request_stop(); });
  const std::stop_callback stop_both(stop, [&] {
    aside.stop();
    stop_host.request_stop();
  });
  auto host = ask_host(handle, stop_host.get_token());
  if (is_definite(host)) aside.stop();
  auto dns = aside.answer();
  if (is_definite(dns)) return dns;
  if (is_definite(host)) return host;
  return undecided(handle, std::move(dns), std::move(host));
}

HandleAnswer HandleResolver::resolve(const std::string& handle, std::stop_token stop) {
  if (!dns_ || !is_dns_name(std::string(kRecordName) + handle)) {
    return ask_host(handle, std::move(stop));
  }
  return ask_both(handle, stop);
}

}  // namespace latchkey
