// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.loopback.callback_request;

// Which of the requests that reach the port can be the redirect of a login. For the receiver only.

export namespace latchkey {

/// What counts of a request's header.
struct CallbackRequest {
  std::string method;
  std::string target;
  std::vector<std::string> hosts;
  std::vector<std::string> origins;
  std::string fetch_destination;      ///< Sec-Fetch-Dest
  std::vector<std::string> purposes;  ///< Purpose, Sec-Purpose and their older spellings
};

/// Where the redirect goes.
struct CallbackPlace {
  std::string scheme;  ///< "http" or "https"
  std::string host;    ///< as in a URL: an IPv6 literal has brackets
  std::uint16_t port = 0;
  std::string path;
  [[nodiscard]] std::string uri() const;
};

struct Refusal {
  int status = 0;
  std::string_view title;
};

/// Empty for a GET of the exact path, as a browser makes it when a person is sent there: one Host,
/// that is ours (against DNS rebinding), no Origin but ours and no destination but a document
/// (against pages elsewhere that reach for the port), and no prefetch.
[[nodiscard]] std::optional<Refusal> refusal_of(const CallbackRequest& request,
                                                const CallbackPlace& place);
/// What follows the first "?".
[[nodiscard]] std::string_view query_of_target(std::string_view target) noexcept;

}  // namespace latchkey
