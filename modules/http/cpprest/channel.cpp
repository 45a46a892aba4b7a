// SPDX-License-Identifier: MIT
module;
#include <cpprest/http_client.h>
#include <cpprest/producerconsumerstream.h>
#include <cpprest/rawptrstream.h>
#include <openssl/crypto.h>
#include <pplx/threadpool.h>

#include <algorithm>
#include <boost/asio/ssl.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <ios>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.http.cpprest.channel;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.cpprest.body;
import latchkey.http.framing;
import latchkey.http.cpprest.wire;
import latchkey.http.policy;

namespace latchkey {
namespace {

using std::chrono::steady_clock;

// A cancelled request is over in microseconds, unless it waits for a name, and so is a body, unless
// its source hangs: then they are left to themselves.
constexpr std::chrono::milliseconds kGrace{250};
// More than cpprestsdk hands to the body buffer between two reports of its progress.
constexpr std::size_t kReadSize = 256 * 1024;

// Where cpprestsdk connects to. Its parser keeps the brackets of an IPv6 literal, and the resolver
// then takes them for a part of the name: so the host is set without them.
web::uri base_address(const Url& url, const std::optional<IpAddress>& address) {
  auto host = address ? address->text() : url.host();
  if (host.front() == '[') host = host.substr(1, host.size() - 2);
  web::uri_builder out;
  out.set_scheme(url.scheme()).set_host(host).set_port(url.port()).set_path("/");
  return out.to_uri();
}

web::http::client::http_client_config configuration(const std::shared_ptr<Wire>& wire,
                                                    const ChannelSettings& settings) {
  web::http::client::http_client_config out;
  out.set_max_redirects(0);
  out.set_timeout(std::chrono::hours(24));  // for one read: the exchange has a clock of its own
  out.set_tlsext_sni_enabled(false);        // the library would send the Host field, port and all
  const bool proxied = !settings.proxy.address().empty();
  out.set_nativehandle_options([wire, proxied](void* handle) {
    // Behind a proxy there is no TLS stream yet, nor a kept connection to look at.
    if (!proxied) wire->before_sending(handle);
  });
  out.set_ssl_context_callback(
      [wire, file = settings.extra_ca_file](boost::asio::ssl::context& context) {
        wire->prepare_tls(context.native_handle(), file);
      });
  if (proxied) {
    web::web_proxy proxy(web::uri(settings.proxy.address()));
    if (!settings.proxy.user().empty())
      proxy.set_credentials(
          {settings.proxy.user(), std::string(settings.proxy.password().expose())});
    out.set_proxy(std::move(proxy));
  }
  return out;
}

// What must live as long as cpprestsdk works on the exchange, which may be longer than send() waits
// for it: the request's progress handler owns it.
struct Call {
  Call(std::size_t cap, std::shared_ptr<Wire> by)
      : wire(std::move(by)),
        size(std::max<std::size_t>(cap, 1)),
        // Not zeroed: only pages that an answer reaches become real.
        memory(new unsigned char[size]),
        sink(memory.get(), size, std::ios_base::out) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;
  ~Call() {
    OPENSSL_cleanse(memory.get(), std::min(size, used.value_or(wire->downloaded() + kReadSize)));
  }

  std::shared_ptr<Wire> wire;
  std::size_t size;
  std::unique_ptr<unsigned char[]> memory;
  Concurrency::streams::rawptr_buffer<unsigned char> sink;
  std::optional<std::size_t> used{};   // of the memory, once the body is complete
  std::unique_ptr<BodyPump> upload{};  // reads what belongs to the caller
  pplx::cancellation_token_source source{};

  void end_upload() {
    if (upload) upload->finish(kGrace);
  }
  [[nodiscard]] std::optional<Error> upload_error() const {
    return upload ? upload->error() : std::nullopt;
  }

  // In the library's own thread: closing the socket beside it, while it reads, is a race inside the
  // library.
  void cancel() {
    crossplat::threadpool::shared_instance().service().post([source = source] { source.cancel(); });
  }
};

// Runs continuations where the task ends, instead of on one more thread.
struct InlineScheduler final : pplx::scheduler_interface {
  void schedule(pplx::TaskProc_t work, void* argument) override { work(argument); }
  virtual ~InlineScheduler() = default;
};

pplx::task_options run_inline() {
  static const auto scheduler = std::make_shared<InlineScheduler>();
  return pplx::task_options(pplx::scheduler_ptr(scheduler));
}

Error fail(ErrorCode code, std::string_view detail, const Url& url, std::string_view cause,
           std::string_view remedy) {
  return make_error(
      code, detail,
      "no answer from " + url.origin() + ": " + printable(cause, 200) + "; " + std::string(remedy));
}

Error tls_failure(const Wire& wire, const Url& url, std::string_view cause) {
  const auto refused = wire.verify_error();
  if (refused.empty()) {
    return fail(ErrorCode::tls_failed, "tls.handshake", url, cause,
                "the server must speak TLS 1.2 or newer");
  }
  return fail(ErrorCode::tls_failed, "tls.certificate", url, refused,
              "check the address, or trust the server's certificate authority");
}

// cpprestsdk names these failures in its text only. They come before the connection stands. That
// nobody listens is "Failed to connect to any resolved endpoint". The only name that it looks up is
// a proxy's; a literal that it cannot "resolve" is one of a family that this machine has not.
bool is_name_failure(std::string_view text) {
  return text.starts_with("Error resolving proxy");
}
bool is_connect_failure(std::string_view text) {
  return text.starts_with("Failed to connect") || text.starts_with("Error resolving") ||
         text.starts_with("Failed to resolve");
}

Error http_failure(const web::http::http_exception& thrown, const Wire& wire, const Url& url) {
  const std::string_view text = thrown.what();
  if (wire.tls() ? !wire.connected() && !wire.handshake_begun() : is_connect_failure(text)) {
    return fail(ErrorCode::unreachable, is_name_failure(text) ? "http.name" : "http.connect", url,
                text, "check the address and the network");
  }
  if (wire.tls() && !wire.connected()) return tls_failure(wire, url, text);
  if (thrown.error_code().value() == 0)
    return fail(ErrorCode::invalid_response, "http.malformed", url, text,
                "the server does not speak HTTP");
  return fail(ErrorCode::connection_lost,
              wire.reused() ? "http.dead_connection" : "http.connection_lost", url, text,
              "try again later");
}

Error failure(std::exception_ptr thrown, const Wire& wire, const Url& url) {
  try {
    std::rethrow_exception(std::move(thrown));
  } catch (const StaleConnection& e) {
    return fail(ErrorCode::connection_lost, kStaleConnection, url, e.what(), "use a new one");
  } catch (const SecondSending& e) {
    return fail(ErrorCode::connection_lost, "http.dead_connection", url, e.what(),
                "try again with a new proof");
  } catch (const CaFileLost& e) {
    return fail(ErrorCode::tls_failed, "tls.ca_file", url, e.what(), "check the file");
  } catch (const web::http::http_exception& e) {
    return http_failure(e, wire, url);
  } catch (const std::exception& e) {
    // The capped buffer says that something was written past its end.
    if (std::string_view(e.what()).starts_with("Writing past the end"))
      return fail(ErrorCode::response_too_large, "http.body_too_large", url,
                  "the body is larger than allowed", "ask for less");
    return fail(ErrorCode::invalid_response, "http.malformed", url, e.what(),
                "the server does not speak HTTP");
  } catch (...) {
    return fail(ErrorCode::invalid_response, "http.malformed", url, "unreadable answer",
                "the server does not speak HTTP");
  }
}

Error interruption(Wire::Wake wake, const Url& url) {
  switch (wake) {
    case Wire::Wake::stopped:
      return fail(ErrorCode::cancelled, "http.cancelled", url, "the request was cancelled",
                  "start it again if it is wanted");
    case Wire::Wake::flooded:
      return fail(ErrorCode::response_too_large, "http.flood", url,
                  "the answer is larger than allowed", "ask for less");
    case Wire::Wake::connect_timeout:
      return fail(ErrorCode::timeout, "http.connect_timeout", url, "no connection in time",
                  "check the address and the network");
    default:
      return fail(ErrorCode::timeout, "http.timeout", url,
                  "the time for the whole exchange is over", "try again later");
  }
}

// No byte of a request leaves before the TLS handshake is done, or without TLS before the
// connection stands.
Delivery delivery(const Error& error, const Wire& wire) {
  const bool untouched =
      !wire.reused() && (wire.tls() ? !wire.connected() : error.code == ErrorCode::unreachable);
  return untouched || error.detail == kStaleConnection ? Delivery::not_sent : Delivery::maybe_sent;
}

// Status and headers, before the body is waited for.
Result<HttpResponse> read_head(const web::http::http_response& response, const SendOptions& options,
                               const Url& url) {
  HttpResponse out;
  out.status = response.status_code();
  std::size_t size = 0;
  for (const auto& [name, value] : response.headers()) {
    size += name.size() + value.size() + 4;
    if (!out.headers.add(name, value))
      return fail(ErrorCode::invalid_response, "http.malformed", url, "a header field is malformed",
                  "the server does not speak HTTP");
  }
  if (size > options.max_headers)
    return fail(ErrorCode::response_too_large, "http.headers_too_large", url,
                "the headers are larger than allowed", "the server is not to be talked to");
  // Interim answers are passed up as if they were final, with the real one still to come: neither
  // is to be used.
  if (!is_final_status(out.status) || !has_clear_framing(out.headers))
    return fail(ErrorCode::invalid_response, "http.malformed", url,
                "its status or length makes no sense", "the server does not speak HTTP");
  return out;
}

}  // namespace

struct Channel::Impl {
  Impl(const Url& to, ChannelSettings with)
      : url(to),
        settings(std::move(with)),
        wire(std::make_shared<Wire>(url.host(), url.scheme() == "https")) {}

  Result<HttpResponse> run(const HttpRequest& request, const SendOptions& options,
                           std::chrono::milliseconds accept_timeout);
  template <class T>
  Wire::Wake await(const pplx::task<T>& task, Call& call);

  Url url;
  ChannelSettings settings;
  std::shared_ptr<Wire> wire;
  std::optional<web::http::client::http_client> client{};
  Wire::Deadlines deadlines{};
};

namespace {

// Can't be rewound: the library could not send it again even if it tried.
using Pipe = Concurrency::streams::producer_consumer_buffer<unsigned char>;

void set_body(web::http::http_request& out, const HttpRequest& request, Call& call) {
  Pipe pipe;
  if (!request.body.empty()) {
    const auto bytes = as_bytes(request.body.expose());
    pipe.putn_nocopy(bytes.data(), bytes.size()).wait();
    pipe.close(std::ios_base::out).wait();
    out.set_body(pipe.create_istream(), bytes.size());
    out.headers().remove("Content-Type");
  }
  if (request.body_source) {
    out.set_body(pipe.create_istream(), request.body_source->size());
    out.headers().remove("Content-Type");
    // Both have happened when they return. Their tasks end in the library's thread, which may wait
    // for the pump's lock, so that waiting for them here would be for ever.
    call.upload = std::make_unique<BodyPump>(
        request.body_source, [pipe](std::span<const unsigned char> bytes) mutable {
          if (bytes.empty()) {
            static_cast<void>(pipe.close(std::ios_base::out));
          } else {
            static_cast<void>(pipe.putn_nocopy(bytes.data(), bytes.size()));
          }
        });
  }
}

Result<web::http::http_request> build(const HttpRequest& request,
                                      const std::shared_ptr<Call>& call) {
  web::http::http_request out(request.method);
  web::uri_builder target;
  target.set_path(request.url.path(), false).set_query(request.url.query(), false);
  out.set_request_uri(target.to_uri());
  set_body(out, request, *call);
  for (const auto& [name, value] : request.headers.fields()) out.headers().add(name, value);
  if (request.headers.find("user-agent") == nullptr) out.headers().add("User-Agent", "latchkey");
  if (request.authorization) {
    const auto value = authorization_value(*request.authorization);
    if (!value) return value.error();
    out.headers().add("Authorization", std::string(value->expose()));
  }
  // The library knows the address only, and an IPv6 literal without its brackets.
  out.headers().add("Host", request.url.authority());
  out.set_response_stream(Concurrency::streams::ostream(call->sink));
  out.set_progress_handler(
      [call](web::http::message_direction::direction way, utility::size64_t size) {
        const bool download = way == web::http::message_direction::download;
        call->wire->on_progress(download, static_cast<std::size_t>(size));
        if (!download && call->upload) call->upload->sent(size);
      });
  return out;
}

}  // namespace

template <class T>
Wire::Wake Channel::Impl::await(const pplx::task<T>& task, Call& call) {
  wire->arm();
  // Only a signal (and a look at the exception, without which pplx ends the process): judging is
  // done here, not there.
  task.then(
      [state = wire](const pplx::task<T>& done) {
        try {
          done.wait();
        } catch (...) {
          state->finish();
          return;
        }
        state->finish();
      },
      run_inline());
  const auto wake = wire->wait(deadlines);
  if (wake == Wire::Wake::finished) return wake;
  call.cancel();
  call.end_upload();  // for the library may wait for more of the body
  wire->wait_finished(kGrace);
  return wake;
}

Result<HttpResponse> Channel::Impl::run(const HttpRequest& request, const SendOptions& options,
                                        std::chrono::milliseconds accept_timeout) {
  const auto start = steady_clock::now();
  deadlines = {.whole = start + options.timeout,
               .connect = start + options.connect_timeout,
               .accept = start + std::min(accept_timeout, options.connect_timeout)};
  wire->begin(byte_budget(options));
  const std::stop_callback on_stop(options.stop, [state = wire] { state->stop(); });

  const auto call = std::make_shared<Call>(options.max_body, wire);
  const std::shared_ptr<void> at_end(nullptr, [call](void*) { call->end_upload(); });
  auto message = build(request, call);
  if (!message) return std::move(message).error();
  if (!client) client.emplace(base_address(url, settings.address), configuration(wire, settings));
  const auto answer = client->request(*message, call->source.get_token());
  if (const auto wake = await(answer, *call); wake != Wire::Wake::finished)
    return interruption(wake, request.url);
  if (auto unread = call->upload_error()) return *std::move(unread);
  const web::http::http_response response = answer.get();
  auto out = read_head(response, options, request.url);
  if (!out) {
    call->cancel();
    return out;
  }
  const auto content = response.content_ready();
  if (const auto wake = await(content, *call); wake != Wire::Wake::finished)
    return interruption(wake, request.url);
  content.wait();
  call->used = wire->downloaded();
  if (*call->used > options.max_body)
    return fail(ErrorCode::response_too_large, "http.body_too_large", request.url,
                "the body is larger than allowed", "ask for less");
  out->body = SecretString(SecretBytes({call->memory.get(), *call->used}));
  return out;
}

Channel::Channel(const Url& url, ChannelSettings settings)
    : impl_(std::make_unique<Impl>(url, std::move(settings))) {}
Channel::~Channel() = default;

Result<HttpResponse> Channel::exchange(const HttpRequest& request, const SendOptions& options,
                                       std::chrono::milliseconds accept_timeout) {
  if (options.stop.stop_requested()) return interruption(Wire::Wake::stopped, request.url);
  auto answer = [&]() -> Result<HttpResponse> {
    try {
      return impl_->run(request, options, accept_timeout);
    } catch (...) {
      return failure(std::current_exception(), *impl_->wire, request.url);
    }
  }();
  if (answer || answer.error().code == ErrorCode::invalid_argument) return answer;
  auto error = std::move(answer).error();
  error.delivery = delivery(error, *impl_->wire);
  return error;
}

}  // namespace latchkey
