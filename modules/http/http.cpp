// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.http;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.core.time;
import latchkey.core.trim;
import latchkey.core.url;

namespace latchkey {
namespace {

constexpr std::chrono::seconds kLongestRetryAfter = std::chrono::hours{24};

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
}
bool is_space(char c) {
  return c == ' ' || c == '\t';
}

// RFC 9110 §5.6.2.
bool is_token_char(char c) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return is_alnum(c) || kMarks.find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool same_name(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](char x, char y) { return lower(x) == lower(y); });
}

Result<void> check_field(std::string_view name, std::string_view value) {
  if (!is_token(name)) {
    return make_error(ErrorCode::invalid_argument, "header.name",
                      "cannot set the header " + printable(name, 64) +
                          ": its name is not a token; use letters, digits and -");
  }
  // The value may be a secret, so only its name is shown.
  if (std::any_of(value.begin(), value.end(), [](char c) { return is_control(c) && c != '\t'; })) {
    return make_error(ErrorCode::invalid_argument, "header.value",
                      "cannot set the header " + std::string(name) +
                          ": its value has control characters; remove line ends and zero bytes");
  }
  return {};
}

// Reads WWW-Authenticate, a list of challenges whose parameters are themselves a list: what follows
// a comma is a parameter of the current challenge if a "=" comes after its first token, and else
// the next challenge.
class ChallengeParser {
 public:
  explicit ChallengeParser(std::string_view text) : text_(text) {}

  std::optional<std::vector<Challenge>> parse() {
    while (skip_separators()) {
      const bool done = at_parameter() ? read_parameter() : read_scheme();
      skip_spaces();
      if (!done || (!at_end() && text_[pos_] != ',')) return std::nullopt;
    }
    return std::move(challenges_);
  }

 private:
  [[nodiscard]] bool at_end() const { return pos_ == text_.size(); }
  [[nodiscard]] bool at(char c) const { return !at_end() && text_[pos_] == c; }

  void skip_spaces() {
    while (!at_end() && is_space(text_[pos_])) ++pos_;
  }

  // Empty list elements are allowed (RFC 9110 §5.6.1.2). False at the end.
  bool skip_separators() {
    while (!at_end() && (is_space(text_[pos_]) || text_[pos_] == ',')) ++pos_;
    return !at_end();
  }

  std::string_view read_token() {
    const std::size_t start = pos_;
    while (!at_end() && is_token_char(text_[pos_])) ++pos_;
    return text_.substr(start, pos_ - start);
  }

  bool at_parameter() {
    const std::size_t start = pos_;
    const bool named = !read_token().empty();
    skip_spaces();
    const bool found = named && at('=');
    pos_ = start;
    return found;
  }

  bool read_scheme() {
    const auto scheme = read_token();
    if (scheme.empty()) return false;
    challenges_.push_back(Challenge{.scheme = std::string(scheme), .parameters = {}});
    takes_parameters_ = at(' ');
    skip_spaces();
    if (at_end() || at(',') || skip_token68()) return true;
    return takes_parameters_ && read_parameter();
  }

  bool skip_token68() {
    const std::size_t start = pos_;
    constexpr std::string_view kMarks = "-._~+/";
    while (!at_end() &&
           (is_alnum(text_[pos_]) || kMarks.find(text_[pos_]) != std::string_view::npos))
      ++pos_;
    const bool any = pos_ != start;
    while (at('=')) ++pos_;
    skip_spaces();
    if (any && takes_parameters_ && (at_end() || at(','))) {
      takes_parameters_ = false;
      return true;
    }
    pos_ = start;
    return false;
  }

  bool read_parameter() {
    if (!takes_parameters_) return false;
    std::string name(read_token());
    std::transform(name.begin(), name.end(), name.begin(), lower);
    skip_spaces();
    if (name.empty() || !at('=') || challenges_.back().find(name) != nullptr) return false;
    ++pos_;
    skip_spaces();
    auto value = at('"') ? read_quoted() : std::optional(std::string(read_token()));
    if (!value || (value->empty() && text_[pos_ - 1] != '"')) return false;
    challenges_.back().parameters.emplace_back(std::move(name), std::move(*value));
    return true;
  }

  std::optional<std::string> read_quoted() {
    std::string value;
    for (++pos_; !at_end(); ++pos_) {
      if (text_[pos_] == '"') {
        ++pos_;
        return value;
      }
      if (text_[pos_] == '\\') ++pos_;
      if (at_end() || (is_control(text_[pos_]) && text_[pos_] != '\t')) return std::nullopt;
      value += text_[pos_];
    }
    return std::nullopt;
  }

  std::string_view text_;
  std::size_t pos_ = 0;
  bool takes_parameters_ = false;
  std::vector<Challenge> challenges_;
};

}  // namespace

Result<void> Headers::add(std::string_view name, std::string_view value) {
  if (auto checked = check_field(name, value); !checked) return checked;
  fields_.emplace_back(std::string(name), std::string(trimmed(value, kBlanks)));
  return {};
}

Result<void> Headers::set(std::string_view name, std::string_view value) {
  if (auto checked = check_field(name, value); !checked) return checked;
  // The new field is made first: name or value may point into the one that goes.
  std::pair<std::string, std::string> field(name, trimmed(value, kBlanks));
  remove(field.first);
  fields_.push_back(std::move(field));
  return {};
}

void Headers::remove(std::string_view name) {
  const std::string wanted(name);
  std::erase_if(fields_, [&](const auto& field) { return same_name(field.first, wanted); });
}

const std::string* Headers::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : fields_) {
    if (same_name(key, name)) return &value;
  }
  return nullptr;
}

std::vector<std::string_view> Headers::all(std::string_view name) const {
  std::vector<std::string_view> values;
  for (const auto& [key, value] : fields_) {
    if (same_name(key, name)) values.emplace_back(value);
  }
  return values;
}

HttpRequest HttpRequest::clone() const {
  HttpRequest copy{.method = method, .url = url, .headers = headers, .body = body.clone()};
  if (authorization) copy.authorization = authorization->clone();
  copy.renew_body = renew_body;
  copy.body_source = body_source;
  return copy;
}

bool HttpRequest::is_replayable() const {
  return !body_source || body_source->is_replayable();
}

HttpRequest form_post(const Url& url, SecretString body) {
  HttpRequest request{.method = "POST", .url = url, .body = std::move(body)};
  request.headers.set("Accept", "application/json").value();
  request.headers.set("Content-Type", "application/x-www-form-urlencoded").value();
  return request;
}

HttpRequest json_get(const Url& url) {
  HttpRequest request{.method = "GET", .url = url};
  request.headers.set("Accept", "application/json").value();
  return request;
}

BodyReader::~BodyReader() {}

BodySource::~BodySource() {}

HttpTransport::~HttpTransport() {}

bool has_json_content(const HttpResponse& response) {
  const auto values = response.headers.all("Content-Type");
  if (values.size() != 1) return false;
  const auto media = trimmed(values[0].substr(0, values[0].find(';')), kBlanks);
  const auto slash = media.find('/');
  if (slash == std::string_view::npos) return false;
  const auto type = media.substr(0, slash), subtype = media.substr(slash + 1);
  if (!is_token(type) || !is_token(subtype)) return false;
  if (same_name(media, "application/json")) return true;
  constexpr std::string_view kSuffix = "+json";
  return subtype.size() > kSuffix.size() &&
         same_name(subtype.substr(subtype.size() - kSuffix.size()), kSuffix);
}

std::optional<std::chrono::seconds> retry_after(
    const HttpResponse& response, std::chrono::sys_time<std::chrono::milliseconds> now) {
  using std::chrono::seconds;
  const auto* value = response.headers.find("Retry-After");
  if (value == nullptr || value->empty()) return std::nullopt;
  if (std::all_of(value->begin(), value->end(), is_digit)) {
    seconds wait{0};
    for (const char digit : *value) {
      wait = std::min(wait * 10 + seconds{digit - '0'}, kLongestRetryAfter);
    }
    return wait;
  }
  const auto date = parse_http_date(*value);
  if (!date) return std::nullopt;
  const auto wait = std::chrono::ceil<seconds>(*date - now);
  return std::clamp<seconds>(wait, seconds{0}, kLongestRetryAfter);
}

const std::string* Challenge::find(std::string_view name) const noexcept {
  for (const auto& [key, value] : parameters) {
    if (same_name(key, name)) return &value;
  }
  return nullptr;
}

std::vector<Challenge> parse_challenges(const Headers& headers) {
  // Several fields of one name mean the same as one with their values joined (RFC 9110 §5.3).
  std::string text;
  for (const auto value : headers.all("WWW-Authenticate")) {
    if (!text.empty()) text += ", ";
    text += value;
  }
  return ChallengeParser(text).parse().value_or(std::vector<Challenge>{});
}

}  // namespace latchkey
