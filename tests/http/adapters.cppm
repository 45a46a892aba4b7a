// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
export module latchkey.test.adapters;
import latchkey.core.error;
import latchkey.core.url;
import latchkey.http;
import latchkey.http.policy;
import latchkey.http.resolver;

// The transports that every test of the contract runs over, and short forms of what they are asked.

export namespace latchkey::test {

enum class Kind { cpprest_fresh, cpprest_pooled, curl };
inline constexpr Kind kKinds[] = {Kind::cpprest_fresh, Kind::cpprest_pooled, Kind::curl};
[[nodiscard]] const char* name_of(Kind kind);

/// A transport that may talk to this machine, over http too, and the way in which the kind uses
/// connections.
class Adapter {
 public:
  /// What it may call, and who tells it where a name leads to.
  struct Rules {
    AddressRule address_rule = AddressRule::any;
    HttpRule http_rule = HttpRule::allow_http_for_loopback;
    std::shared_ptr<NameResolver> resolver{};
  };

  explicit Adapter(Kind kind, const std::string& extra_ca_file = "", Proxy proxy = {});
  Adapter(Kind kind, const std::string& extra_ca_file, Proxy proxy, Rules rules);

  [[nodiscard]] Result<HttpResponse> send(const HttpRequest& request);
  [[nodiscard]] Result<HttpResponse> get(const std::string& url);
  [[nodiscard]] Result<HttpResponse> post(const std::string& url, std::string_view body);

  SendOptions options;

 private:
  std::unique_ptr<HttpTransport> transport_;
};

[[nodiscard]] HttpRequest request(const std::string& method, const std::string& url,
                                  std::string_view body = "");

/// Whether the time since it was made is far below any of the libraries' own time-outs.
class Stopwatch {
 public:
  [[nodiscard]] bool is_prompt() const {
    return std::chrono::steady_clock::now() - start_ < std::chrono::seconds(8);
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace latchkey::test
