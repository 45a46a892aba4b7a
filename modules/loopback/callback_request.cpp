// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
module latchkey.loopback.callback_request;

namespace latchkey {
namespace {

// Browsers leave out the port that the scheme implies.
std::vector<std::string> authorities(const CallbackPlace& place) {
  std::vector<std::string> all{place.host + ':' + std::to_string(place.port)};
  if (place.port == (place.scheme == "https" ? 443 : 80)) all.push_back(place.host);
  return all;
}

bool is_one_of(const std::vector<std::string>& all, std::string_view text) {
  return std::find(all.begin(), all.end(), text) != all.end();
}

bool is_ours(const CallbackRequest& request, const CallbackPlace& place) {
  const auto ours = authorities(place);
  if (request.hosts.size() != 1 || !is_one_of(ours, request.hosts.front())) return false;
  const auto prefix = place.scheme + "://";
  for (const std::string_view origin : request.origins) {
    if (!origin.starts_with(prefix) || !is_one_of(ours, origin.substr(prefix.size()))) return false;
  }
  return request.fetch_destination.empty() || request.fetch_destination == "document";
}

bool only_looks_ahead(const CallbackRequest& request) {
  return std::any_of(request.purposes.begin(), request.purposes.end(), [](const auto& purpose) {
    return purpose.starts_with("prefetch") || purpose.starts_with("preview");
  });
}

}  // namespace

std::string CallbackPlace::uri() const {
  return scheme + "://" + host + ':' + std::to_string(port) + path;
}

std::optional<Refusal> refusal_of(const CallbackRequest& request, const CallbackPlace& place) {
  const std::string_view target = request.target;
  if (!is_ours(request, place)) return Refusal{400, "Bad request"};
  if (target.substr(0, target.find('?')) != place.path) return Refusal{404, "Not found"};
  if (request.method != "GET") return Refusal{405, "Method not allowed"};
  // It comes again if the person goes there.
  if (only_looks_ahead(request)) return Refusal{503, "Not for prefetching"};
  return std::nullopt;
}

std::string_view query_of_target(std::string_view target) noexcept {
  const auto mark = target.find('?');
  return mark == std::string_view::npos ? std::string_view() : target.substr(mark + 1);
}

}  // namespace latchkey
