// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.atproto.identifier;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;

namespace latchkey {
namespace {

constexpr std::size_t kMaxDid = 2048;
constexpr std::size_t kMaxHost = 253;
constexpr std::size_t kMaxNsid = 317;
constexpr std::size_t kMaxLabel = 63;
constexpr std::size_t kMaxRecordKey = 512;
constexpr std::size_t kMaxAtUri = 8192;
constexpr std::size_t kPlcSize = 24;
constexpr std::size_t kTidSize = 13;
constexpr std::string_view kBase32Sort = "234567abcdefghijklmnopqrstuvwxyz";
constexpr std::array<std::string_view, 8> kReservedTlds{
    "local", "arpa", "invalid", "localhost", "internal", "example", "alt", "onion"};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}
bool is_alpha(char c) {
  return is_lower(c) || (c >= 'A' && c <= 'Z');
}
bool is_alnum(char c) {
  return is_alpha(c) || is_digit(c);
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Error malformed(std::string_view detail, std::string_view what, std::string_view text,
                std::string_view why) {
  return make_error(ErrorCode::invalid_argument, detail,
                    "cannot use \"" + printable(text, 100) + "\" as " + std::string(what) + ": " +
                        std::string(why));
}

bool is_label(std::string_view label) {
  return !label.empty() && label.size() <= kMaxLabel && label.front() != '-' &&
         label.back() != '-' &&
         std::all_of(label.begin(), label.end(), [](char c) { return is_alnum(c) || c == '-'; });
}

std::string_view first_label(std::string_view name) {
  return name.substr(0, name.find('.'));
}

std::string_view last_label(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

// Labels of letters, digits and inner hyphens, at least `min_labels` of them.
bool is_host_name(std::string_view name, std::size_t min_labels) {
  if (name.size() > kMaxHost) return false;
  std::size_t labels = 0;
  for (std::size_t start = 0; start <= name.size(); ++labels) {
    const auto end = std::min(name.find('.', start), name.size());
    if (!is_label(name.substr(start, end - start))) return false;
    start = end + 1;
  }
  return labels >= min_labels;
}

bool is_port(std::string_view text) {
  unsigned value = 0;
  if (text.empty()) return false;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  return fault == std::errc{} && end == text.data() + text.size() && text.front() != '0' &&
         value <= 65535;
}

// Upper case is refused, not folded: a DID is compared as text, and each should have one spelling.
bool is_web_host(std::string_view host) {
  constexpr std::string_view localhost = "localhost";
  constexpr std::string_view with_port = "localhost%3A";
  if (host == localhost) return true;
  if (host.starts_with(with_port)) return is_port(host.substr(with_port.size()));
  return is_host_name(host, 2) && is_lower(last_label(host).front()) &&
         std::none_of(host.begin(), host.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

bool is_plc_id(std::string_view id) {
  return id.size() == kPlcSize && std::all_of(id.begin(), id.end(), [](char c) {
           return is_lower(c) || (c >= '2' && c <= '7');
         });
}

}  // namespace

Result<std::string> parse_did(std::string_view text) {
  constexpr std::string_view plc = "did:plc:";
  constexpr std::string_view web = "did:web:";
  constexpr std::string_view what = "a DID";
  if (text.size() > kMaxDid) {
    return malformed("did.malformed", what, text, "it is longer than 2048 characters");
  }
  if (text.starts_with(plc)) {
    if (is_plc_id(text.substr(plc.size()))) return std::string(text);
    return malformed("did.malformed", what, text,
                     "after did:plc: there must be 24 characters of a to z and 2 to 7");
  }
  if (text.starts_with(web)) {
    if (is_web_host(text.substr(web.size()))) return std::string(text);
    return malformed("did.malformed", what, text,
                     "after did:web: there must be a host name in lower case and nothing else");
  }
  const auto method_end = text.find(':', 4);
  if (text.starts_with("did:") && method_end != std::string_view::npos && method_end > 4 &&
      std::all_of(text.begin() + 4, text.begin() + static_cast<std::ptrdiff_t>(method_end),
                  is_lower)) {
    return malformed("did.method", what, text,
                     "its method is not one of AT Protocol; use did:plc or did:web");
  }
  return malformed("did.malformed", what, text,
                   "it must look like did:plc:ewvi7nxzyoun6zhxrhs64oiz or did:web:host.name");
}

Result<std::string> parse_handle(std::string_view text) {
  auto name = text;
  if (name.starts_with('@')) {
    name.remove_prefix(1);
  } else if (name.starts_with("at://")) {
    name.remove_prefix(5);
  }
  if (!is_host_name(name, 2) || !is_alpha(last_label(name).front())) {
    return malformed("handle.malformed", "a handle", text,
                     "it must be a domain name of at most 253 letters, digits, hyphens and dots, "
                     "like alice.bsky.social");
  }
  auto handle = lower(name);
  if (std::find(kReservedTlds.begin(), kReservedTlds.end(), last_label(handle)) !=
      kReservedTlds.end()) {
    return malformed(
        "handle.reserved_tld", "a handle", text,
        "names under ." + std::string(last_label(handle)) + " belong to nobody on the internet");
  }
  return handle;
}

Result<std::string> parse_nsid(std::string_view text) {
  const auto dot = text.rfind('.');
  const auto authority = text.substr(0, dot);
  const auto name = last_label(text);
  // The authority is a domain name in reverse: its first label is the top-level domain.
  if (text.size() > kMaxNsid || dot == std::string_view::npos || !is_host_name(authority, 2) ||
      !is_alpha(first_label(authority).front()) || name.empty() || name.size() > kMaxLabel ||
      !is_alpha(name.front()) || !std::all_of(name.begin(), name.end(), is_alnum)) {
    return malformed("nsid.malformed", "an NSID", text,
                     "it must be a reversed domain name and a name of letters and digits, like "
                     "app.bsky.feed.post");
  }
  return lower(authority) + '.' + std::string(name);
}

Result<std::string> parse_record_key(std::string_view text) {
  constexpr std::string_view others = "_~.:-";
  if (text.empty() || text.size() > kMaxRecordKey || text == "." || text == ".." ||
      !std::all_of(text.begin(), text.end(), [&](char c) {
        return is_alnum(c) || others.find(c) != std::string_view::npos;
      })) {
    return malformed("rkey.malformed", "a record key", text,
                     "it must be 1 to 512 letters, digits and characters of _ ~ . : - (but not . "
                     "or .. alone)");
  }
  return std::string(text);
}

Result<AtUri> parse_at_uri(std::string_view text) {
  constexpr std::string_view scheme = "at://";
  const auto fail = [&](std::string_view why) {
    return malformed("at_uri.malformed", "an AT-URI", text, why);
  };
  if (text.size() > kMaxAtUri) return fail("it is longer than 8192 characters");
  if (!text.starts_with(scheme)) return fail("it must begin with at://");
  const auto rest = text.substr(scheme.size());
  const auto first = rest.find('/');
  const auto second = first == std::string_view::npos ? first : rest.find('/', first + 1);
  if (second == std::string_view::npos) {
    return fail("it must name a repository, a collection and a record key");
  }
  const auto repo_text = rest.substr(0, first);
  if (!is_alnum(repo_text.empty() ? '\0' : repo_text.front())) {
    return fail("its repository must be a DID or a handle");
  }
  auto repo = repo_text.starts_with("did:") ? parse_did(repo_text) : parse_handle(repo_text);
  if (!repo) return fail("its repository must be a DID or a handle");
  auto collection = parse_nsid(rest.substr(first + 1, second - first - 1));
  if (!collection) return fail("its collection must be an NSID, like app.bsky.feed.post");
  auto rkey = parse_record_key(rest.substr(second + 1));
  if (!rkey) return fail("its last part must be a record key");
  return AtUri{std::move(*repo), std::move(*collection), std::move(*rkey)};
}

TidSource::TidSource(Clock& clock, Random& random) : clock_(clock), clock_id_(0) {
  std::array<unsigned char, 2> bytes{};
  random.fill(bytes);
  clock_id_ = (static_cast<std::uint64_t>(bytes[0]) << 8 | bytes[1]) & 0x3FF;
}

std::string TidSource::next() {
  const auto since_epoch = clock_.now().time_since_epoch();
  const auto micros = std::max<std::int64_t>(
      0, std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
  std::uint64_t value = 0;
  {
    const std::scoped_lock lock(mutex_);
    // The clock may stand still (it counts milliseconds) or go back: never below the last one.
    last_ = std::max(static_cast<std::uint64_t>(micros), last_ + 1);
    value = (last_ & ((std::uint64_t{1} << 53) - 1)) << 10 | clock_id_;
  }
  std::string tid(kTidSize, '2');
  for (auto at = tid.rbegin(); at != tid.rend(); ++at, value >>= 5) *at = kBase32Sort[value & 31];
  return tid;
}

}  // namespace latchkey
