// SPDX-License-Identifier: MIT
module;
#include <stdlib.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
module latchkey.test.adapters;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.cpprest;
import latchkey.http.curl;
import latchkey.http.policy;
import latchkey.http.resolver;

namespace latchkey::test {
namespace {

// The tests trust no authority of the machine's: it takes its time to read them all, most of all
// under a sanitizer.
[[maybe_unused]] const int no_system_store = ::setenv("SSL_CERT_FILE", "/dev/null", 1);

std::unique_ptr<HttpTransport> make(Kind kind, const std::string& extra_ca_file, Proxy proxy,
                                    Adapter::Rules rules) {
  if (kind == Kind::curl) {
    return CurlTransport::open({.address_rule = rules.address_rule,
                                .http_rule = rules.http_rule,
                                .extra_ca_file = extra_ca_file,
                                .proxy = std::move(proxy),
                                .resolver = std::move(rules.resolver)})
        .value();
  }
  return CpprestTransport::open({.address_rule = rules.address_rule,
                                 .http_rule = rules.http_rule,
                                 .extra_ca_file = extra_ca_file,
                                 .proxy = std::move(proxy),
                                 .resolver = std::move(rules.resolver)})
      .value();
}

}  // namespace

const char* name_of(Kind kind) {
  switch (kind) {
    case Kind::cpprest_fresh:
      return "cpprest, fresh";
    case Kind::cpprest_pooled:
      return "cpprest, pooled";
    case Kind::curl:
      break;
  }
  return "curl";
}

Adapter::Adapter(Kind kind, const std::string& extra_ca_file, Proxy proxy)
    : Adapter(kind, extra_ca_file, std::move(proxy), Rules{}) {}

Adapter::Adapter(Kind kind, const std::string& extra_ca_file, Proxy proxy, Rules rules)
    : transport_(make(kind, extra_ca_file, std::move(proxy), std::move(rules))) {
  options.connection = kind == Kind::cpprest_pooled ? Connection::pooled : Connection::fresh;
}

Result<HttpResponse> Adapter::send(const HttpRequest& what) {
  return transport_->send(what, options);
}
Result<HttpResponse> Adapter::get(const std::string& url) {
  return send(request("GET", url));
}
Result<HttpResponse> Adapter::post(const std::string& url, std::string_view body) {
  return send(request("POST", url, body));
}

HttpRequest request(const std::string& method, const std::string& url, std::string_view body) {
  return {.method = method,
          .url = Url::parse(url).value(),
          .headers = {},
          .body = SecretString(body),
          .authorization = {}};
}

}  // namespace latchkey::test
