// SPDX-License-Identifier: MIT
module;
#include <curl/curl.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.http.curl;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.framing;
import latchkey.http.policy;
import latchkey.http.resolver;

namespace latchkey {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;
using Easy = std::unique_ptr<CURL, void (*)(CURL*)>;
using Multi = std::unique_ptr<CURLM, CURLMcode (*)(CURLM*)>;

// A list of strings that libcurl reads, zeroed when it goes: one of them is the Authorization
// field.
class StringList {
 public:
  StringList() = default;
  StringList(const StringList&) = delete;
  StringList& operator=(const StringList&) = delete;
  ~StringList() {
    for (auto* node = list_; node != nullptr; node = node->next)
      OPENSSL_cleanse(node->data, std::strlen(node->data));
    curl_slist_free_all(list_);
  }
  bool add(const char* text) {
    auto* longer = curl_slist_append(list_, text);
    if (longer != nullptr) list_ = longer;
    return longer != nullptr;
  }
  bool add_secret(std::string_view name, std::string_view value) {
    SecretBuilder line;
    line.append(name).append(": ").append(value).append('\0');
    return add(std::move(line).finish().expose().data());
  }
  [[nodiscard]] curl_slist* get() const { return list_; }

 private:
  curl_slist* list_ = nullptr;
};

// One exchange: what libcurl's callbacks fill.
struct Exchange {
  const CurlOptions& settings;
  const HttpRequest& request;
  const SendOptions& options;
  const std::string& addresses;  // of look_up
  StringList headers{}, connect_to{}, resolved{};
  HttpResponse response{};
  SecretBuilder body{};
  std::size_t body_size = 0, header_size = 0;
  bool body_too_large = false, headers_too_large = false, malformed = false, ca_file_lost = false;
  bool dialled = false, headers_complete = false;
  std::size_t received = 0;  // of TLS records
  bool flooded = false, ended_by_server = false;
  std::optional<Error> refused{};
  std::string proxy_password{};
  char reason[CURL_ERROR_SIZE] = {};
};

// The address that the socket will be connected to: what is checked here cannot be another one
// later.
curl_socket_t open_socket(void* context, curlsocktype, curl_sockaddr* peer) {
  auto& exchange = *static_cast<Exchange*>(context);
  // libcurl's struct ends in a plain sockaddr, but the storage behind it holds the whole address.
  const auto address = address_of_socket(&peer->addr, peer->addrlen);
  if (!address) return CURL_SOCKET_BAD;
  // A proxy's own address is the developer's choice; the target behind it was checked before, if it
  // is a literal.
  const bool proxied = exchange.settings.proxy.applies_to(exchange.request.url);
  const auto allowed = proxied ? Result<void>()
                               : check_target_address(*address, exchange.request.url,
                                                      exchange.settings.address_rule);
  if (!allowed) {
    exchange.refused = allowed.error();
    return CURL_SOCKET_BAD;
  }
  exchange.dialled = true;
  return ::socket(peer->family, peer->socktype | SOCK_CLOEXEC, peer->protocol);
}

std::size_t take_body(char* data, std::size_t, std::size_t size, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  if (exchange.flooded) return CURL_WRITEFUNC_ERROR;
  if (size > exchange.options.max_body - exchange.body_size) {
    exchange.body_too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  exchange.body.append(std::string_view(data, size));
  exchange.body_size += size;
  return size;
}

std::size_t take_header(char* data, std::size_t, std::size_t size, void* context) {
  auto& exchange = *static_cast<Exchange*>(context);
  exchange.header_size += size;
  if (exchange.header_size > exchange.options.max_headers) {
    exchange.headers_too_large = true;
    return CURL_WRITEFUNC_ERROR;
  }
  if (exchange.flooded) return CURL_WRITEFUNC_ERROR;
  std::string_view line(data, size);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  if (line.starts_with(
          "HTTP/")) {  // interim answers and the proxy's come before: the last block counts
    exchange.response.headers = Headers();
    exchange.headers_complete = false;
    // Another protocol begins, which nobody asked for.
    exchange.malformed = line.substr(std::min(line.find(' '), line.size())).starts_with(" 101");
    return exchange.malformed ? CURL_WRITEFUNC_ERROR : size;
  }
  if (exchange.headers_complete) return size;  // a trailer: counted, but not heard
  if (line.empty()) {
    exchange.headers_complete = true;
    exchange.malformed = exchange.malformed || !has_clear_framing(exchange.response.headers);
    return exchange.malformed ? CURL_WRITEFUNC_ERROR : size;
  }
  const auto colon = line.find(':');
  exchange.malformed =
      colon == std::string_view::npos ||
      !exchange.response.headers.add(line.substr(0, colon), line.substr(colon + 1));
  return exchange.malformed ? CURL_WRITEFUNC_ERROR : size;
}

// Two things that libcurl does not tell: bytes that no cap counts (chunk extensions, say), and
// whether the server ended the connection itself, or somebody on the way cut it off.
void hear_tls(int written, int, int content, const void* data, std::size_t size, SSL*,
              void* context) {
  if (written != 0) return;
  auto& exchange = *static_cast<Exchange*>(context);
  const auto* bytes = static_cast<const unsigned char*>(data);
  if (content == SSL3_RT_HEADER && size >= 5) {
    exchange.received += 5U + bytes[3] * 256U + bytes[4];
    exchange.flooded = exchange.received > byte_budget(exchange.options);
  } else if (content == SSL3_RT_ALERT && size == 2) {
    exchange.ended_by_server = bytes[1] == SSL_AD_CLOSE_NOTIFY;
  }
}

// The system's store as OpenSSL finds it, SSL_CERT_FILE included, as the other adapter does; and
// the extra file.
CURLcode prepare_tls(CURL*, void* context, void* exchange_context) {
  auto& exchange = *static_cast<Exchange*>(exchange_context);
  auto* tls = static_cast<SSL_CTX*>(context);
  const auto& file = exchange.settings.extra_ca_file;
  SSL_CTX_set_msg_callback(tls, hear_tls);
  SSL_CTX_set_msg_callback_arg(tls, &exchange);
  if (SSL_CTX_set_default_verify_paths(tls) != 1) return CURLE_SSL_CACERT_BADFILE;
  if (file.empty() || SSL_CTX_load_verify_locations(tls, file.c_str(), nullptr) == 1)
    return CURLE_OK;
  exchange.ca_file_lost = true;
  return CURLE_SSL_CACERT_BADFILE;
}

// Sets options and remembers whether one was refused: a limit that is not in force must stop the
// request.
class Setter {
 public:
  explicit Setter(CURL* easy) : easy_(easy) {}
  template <class T>
  Setter& set(CURLoption option, T value) {
    ok_ = curl_easy_setopt(easy_, option, value) == CURLE_OK && ok_;
    return *this;
  }
  [[nodiscard]] bool ok() const { return ok_; }

 private:
  CURL* easy_;
  bool ok_ = true;
};

void set_limits(Setter& to, Exchange& exchange) {
  const auto& options = exchange.options;
  const bool http = exchange.settings.http_rule == HttpRule::allow_http_for_loopback;
  to.set(CURLOPT_PROTOCOLS_STR, http ? "https,http" : "https").set(CURLOPT_FOLLOWLOCATION, 0L);
  to.set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1))
      .set(CURLOPT_HTTP09_ALLOWED, 0L);
  to.set(CURLOPT_NOSIGNAL, 1L).set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  to.set(CURLOPT_FRESH_CONNECT, 1L).set(CURLOPT_FORBID_REUSE, 1L).set(CURLOPT_PATH_AS_IS, 1L);
  to.set(CURLOPT_QUICK_EXIT, 1L);  // else cancelling waits for getaddrinfo
  to.set(CURLOPT_TIMEOUT_MS, static_cast<long>(std::max<long long>(options.timeout.count(), 1)));
  to.set(CURLOPT_CONNECTTIMEOUT_MS,
         static_cast<long>(std::max<long long>(options.connect_timeout.count(), 1)));
  to.set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  to.set(CURLOPT_SSL_VERIFYPEER, 1L).set(CURLOPT_SSL_VERIFYHOST, 2L);
}

void set_callbacks(Setter& to, Exchange& exchange) {
  to.set(CURLOPT_OPENSOCKETFUNCTION, open_socket).set(CURLOPT_OPENSOCKETDATA, &exchange);
  to.set(CURLOPT_WRITEFUNCTION, take_body).set(CURLOPT_WRITEDATA, &exchange);
  to.set(CURLOPT_HEADERFUNCTION, take_header).set(CURLOPT_HEADERDATA, &exchange);
  to.set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L).set(CURLOPT_ERRORBUFFER, &exchange.reason[0]);
  to.set(CURLOPT_CAINFO, nullptr).set(CURLOPT_CAPATH, nullptr);
  to.set(CURLOPT_SSL_CTX_FUNCTION, prepare_tls).set(CURLOPT_SSL_CTX_DATA, &exchange);
}

void set_route(Setter& to, Exchange& exchange, bool& complete) {
  if (!exchange.addresses.empty())
    complete = exchange.resolved.add(exchange.addresses.c_str()) && complete;
  const auto& proxy = exchange.settings.proxy;
  const bool proxied = proxy.applies_to(exchange.request.url);
  to.set(CURLOPT_PROXY, proxied ? proxy.address().c_str() : "").set(CURLOPT_NOPROXY, "");
  if (proxied && !proxy.user().empty()) {
    exchange.proxy_password = proxy.password().expose();
    to.set(CURLOPT_PROXYUSERNAME, proxy.user().c_str())
        .set(CURLOPT_PROXYPASSWORD, exchange.proxy_password.c_str());
    OPENSSL_cleanse(exchange.proxy_password.data(), exchange.proxy_password.size());
  }
  for (const auto& other : exchange.settings.connect_to) {
    const auto line = other.host + ":" + std::to_string(other.port) + ":" + other.to_host + ":" +
                      std::to_string(other.to_port);
    complete = exchange.connect_to.add(line.c_str()) && complete;
  }
  to.set(CURLOPT_CONNECT_TO, exchange.connect_to.get())
      .set(CURLOPT_RESOLVE, exchange.resolved.get());
}

Result<bool> add_headers(Exchange& exchange) {
  const auto& request = exchange.request;
  bool complete = exchange.headers.add("Expect:");  // no 100-continue dance
  for (const auto& [name, value] : request.headers.fields()) {
    // "Name:" would take a header away; an empty value is written "Name;".
    complete = exchange.headers.add((value.empty() ? name + ";" : name + ": " + value).c_str()) &&
               complete;
  }
  if (request.headers.find("user-agent") == nullptr)
    complete = exchange.headers.add("User-Agent: latchkey") && complete;
  if (request.headers.find("accept") == nullptr)
    complete = exchange.headers.add("Accept:") && complete;
  if (request.headers.find("content-type") == nullptr)
    complete = exchange.headers.add("Content-Type:") && complete;
  if (request.authorization) {
    const auto value = authorization_value(*request.authorization);
    if (!value) return value.error();
    complete = exchange.headers.add_secret("Authorization", value->expose()) && complete;
  }
  return complete;
}

void set_request(Setter& to, Exchange& exchange) {
  const auto& request = exchange.request;
  to.set(CURLOPT_URL, (request.url.origin() + request.url.target()).c_str());
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT") {
    to.set(CURLOPT_POST, 1L)
        .set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request.body.size()));
    to.set(CURLOPT_POSTFIELDS, request.body.empty() ? "" : request.body.expose().data());
  } else if (request.method == "HEAD") {
    to.set(CURLOPT_NOBODY, 1L);
  }
  to.set(CURLOPT_CUSTOMREQUEST, request.method.c_str())
      .set(CURLOPT_HTTPHEADER, exchange.headers.get());
}

Result<void> prepare(CURL* easy, Exchange& exchange) {
  auto complete = add_headers(exchange);
  if (!complete) return std::move(complete).error();
  Setter to(easy);
  set_limits(to, exchange);
  set_callbacks(to, exchange);
  set_route(to, exchange, *complete);
  set_request(to, exchange);
  if (*complete && to.ok()) return {};
  return make_error(ErrorCode::invalid_argument, "http.curl_options",
                    "cannot send the request: libcurl refused one of its options; it needs version "
                    "7.88 or newer");
}

// What CURLOPT_RESOLVE takes, "name:port:address,address": everything that the resolver found, for
// the check is made where the socket is opened. Empty if libcurl is to look the name up itself.
Result<std::string> look_up(const CurlOptions& settings, const HttpRequest& request,
                            const LookupLimits& limits) {
  const auto& host = request.url.host();
  if (!settings.resolver || settings.proxy.applies_to(request.url) || is_ip_literal(host))
    return std::string();
  const auto found = settings.resolver->addresses(host, limits);
  if (!found) return found.error();
  if (found->empty()) {
    return make_error(
        ErrorCode::unreachable, "http.name",
        "cannot find the address of " + printable(host, 200) + ": it has none; check the name");
  }
  std::string out = host + ':' + std::to_string(request.url.port());
  char separator = ':';
  for (const auto& address : *found) {
    out += separator + (address.is_v4() ? address.text() : '[' + address.text() + ']');
    separator = ',';
  }
  return out;
}

struct Outcome {
  CURLcode code = CURLE_OK;
  bool cancelled = false;
};

// The multi interface, because a blocking call would notice a stop request only once a second.
Outcome perform(CURLM* multi, CURL* easy, const std::stop_token& stop, const bool& flooded) {
  const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
  if (curl_multi_add_handle(multi, easy) != CURLM_OK) return {CURLE_FAILED_INIT, false};
  Outcome out{CURLE_FAILED_INIT, false};
  for (int running = 1; running != 0;) {
    if (curl_multi_perform(multi, &running) != CURLM_OK) break;
    if (running == 0) {
      int left = 0;
      if (const auto* message = curl_multi_info_read(multi, &left); message != nullptr)
        out.code = message->data.result;
    } else if (flooded) {
      out.code = CURLE_RECV_ERROR;
      break;
    } else if (stop.stop_requested()) {
      out.cancelled = true;
      break;
    } else if (curl_multi_poll(multi, nullptr, 0, 1000, nullptr) != CURLM_OK) {
      break;
    }
  }
  curl_multi_remove_handle(multi, easy);
  return out;
}

// Bytes can have left only once the connection, TLS included, stood.
Delivery delivery(CURL* easy, const Url& url) {
  curl_off_t since = 0;
  curl_easy_getinfo(
      easy, url.scheme() == "https" ? CURLINFO_APPCONNECT_TIME_T : CURLINFO_CONNECT_TIME_T, &since);
  return since == 0 ? Delivery::not_sent : Delivery::maybe_sent;
}

struct Failure {
  ErrorCode code;
  const char* detail;
  const char* remedy;
};

Failure classify(CURLcode code, const Exchange& exchange, bool connected) {
  if (exchange.body_too_large || code == CURLE_FILESIZE_EXCEEDED)
    return {ErrorCode::response_too_large, "http.body_too_large", "ask for less"};
  if (exchange.headers_too_large || (connected && code == CURLE_OUT_OF_MEMORY))
    return {ErrorCode::response_too_large, "http.headers_too_large",
            "the server is not to be talked to"};
  if (exchange.flooded)
    return {ErrorCode::response_too_large, "http.flood", "the server is not to be talked to"};
  if (exchange.malformed)
    return {ErrorCode::invalid_response, "http.malformed", "the server does not speak HTTP"};
  if (exchange.ca_file_lost)
    return {ErrorCode::tls_failed, "tls.ca_file", "check the extra certificate file"};
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return {ErrorCode::timeout, connected ? "http.timeout" : "http.connect_timeout",
              "try again later"};
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {ErrorCode::unreachable, "http.name", "check the name and the network"};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {ErrorCode::tls_failed, "tls.certificate",
              "check the address, or trust the server's certificate authority"};
    case CURLE_SSL_CONNECT_ERROR:
      return {ErrorCode::tls_failed, "tls.handshake", "the server must speak TLS 1.2 or newer"};
    case CURLE_WEIRD_SERVER_REPLY:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_BAD_CONTENT_ENCODING:
      return {ErrorCode::invalid_response, "http.malformed", "the server does not speak HTTP"};
    default:
      return connected
                 ? Failure{ErrorCode::connection_lost, "http.connection_lost", "try again later"}
                 : Failure{ErrorCode::unreachable, "http.connect",
                           "check the address and the network"};
  }
}

Error failure(CURLcode code, const Exchange& exchange, CURL* easy) {
  const auto delivered = delivery(easy, exchange.request.url);
  if (exchange.refused && !exchange.dialled && code == CURLE_COULDNT_CONNECT)
    return *exchange.refused;
  const auto [kind, detail, remedy] = classify(code, exchange, delivered == Delivery::maybe_sent);
  const std::string cause = exchange.reason[0] != '\0' ? exchange.reason : curl_easy_strerror(code);
  auto error = make_error(kind, detail,
                          "no answer from " + exchange.request.url.origin() + ": " +
                              printable(cause, 200) + "; " + remedy);
  error.delivery = delivered;
  return error;
}

Error cancelled(const Url& url, Delivery delivered) {
  auto error = make_error(ErrorCode::cancelled, "http.cancelled",
                          "no answer from " + url.origin() +
                              ": the request was cancelled; start it again if it is wanted");
  error.delivery = delivered;
  return error;
}

// A body whose end is the end of the connection could be shortened by anybody on the way, unless
// TLS says that it was the server who ended it.
bool may_be_cut_off(const Exchange& exchange) {
  const auto& headers = exchange.response.headers;
  return exchange.body_size > 0 && exchange.request.url.scheme() == "https" &&
         headers.find("Content-Length") == nullptr &&
         headers.find("Transfer-Encoding") == nullptr && !exchange.ended_by_server;
}

Result<HttpResponse> finish(CURL* easy, Exchange& exchange) {
  // libcurl takes headers that the end of the connection cut off for an answer.
  if (!exchange.headers_complete || may_be_cut_off(exchange))
    return failure(CURLE_RECV_ERROR, exchange, easy);
  long status = 0;
  curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  exchange.response.body = std::move(exchange.body).finish();
  return std::move(exchange.response);
}

}  // namespace

CurlTransport::CurlTransport(CurlOptions options) : options_(std::move(options)) {}

Result<std::unique_ptr<CurlTransport>> CurlTransport::open(CurlOptions options) {
  static std::once_flag once;
  std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  if (auto usable = check_ca_file(options.extra_ca_file); !usable) return std::move(usable).error();
  return std::unique_ptr<CurlTransport>(new CurlTransport(std::move(options)));
}

Result<HttpResponse> CurlTransport::send(const HttpRequest& request, const SendOptions& options) {
  if (auto allowed = check_request(request, options_.http_rule); !allowed)
    return std::move(allowed).error();
  if (request.body_source) {
    return make_error(ErrorCode::invalid_argument, "http.body_source",
                      "cannot send the request: strangers get no uploads; use CpprestTransport");
  }
  if (auto allowed = check_target(request.url, options_.address_rule); !allowed)
    return std::move(allowed).error();
  if (options.stop.stop_requested()) return cancelled(request.url, Delivery::not_sent);

  const auto start = steady_clock::now();
  const auto addresses =
      look_up(options_, request,
              {.deadline = start + std::min(options.timeout, options.connect_timeout),
               .stop = options.stop});
  if (!addresses) return addresses.error();
  SendOptions left = options;
  const auto spent = std::chrono::duration_cast<milliseconds>(steady_clock::now() - start);
  left.timeout -= spent;
  left.connect_timeout -= spent;

  Exchange exchange{
      .settings = options_, .request = request, .options = left, .addresses = *addresses};
  const Multi multi(curl_multi_init(), curl_multi_cleanup);
  const Easy easy(curl_easy_init(), curl_easy_cleanup);
  if (!multi || !easy) return failure(CURLE_FAILED_INIT, exchange, easy.get());
  if (auto ready = prepare(easy.get(), exchange); !ready) return std::move(ready).error();
  const auto outcome = perform(multi.get(), easy.get(), options.stop, exchange.flooded);
  if (outcome.cancelled) return cancelled(request.url, delivery(easy.get(), request.url));
  if (outcome.code != CURLE_OK) return failure(outcome.code, exchange, easy.get());
  return finish(easy.get(), exchange);
}

}  // namespace latchkey
