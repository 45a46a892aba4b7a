// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
module latchkey.strategy.detect;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.flows.client_credentials;
import latchkey.flows.key_exchange;
import latchkey.loopback.headless;
import latchkey.oauth.client_secret;
import latchkey.refresh.context;
import latchkey.refresh.keeper;
import latchkey.store;
import latchkey.strategy;
import latchkey.strategy.access_key;
import latchkey.strategy.app_password;
import latchkey.strategy.oauth;
import latchkey.strategy.static_token;

namespace latchkey {
namespace {

// One value of a set: what it is called in a program and in the environment, and where it goes.
struct Part {
  std::string_view member, variable;
  std::string CredentialValues::* text = nullptr;
  SecretString CredentialValues::* secret = nullptr;

  bool is_given(const CredentialValues& values) const {
    return text != nullptr ? !(values.*text).empty() : !(values.*secret).empty();
  }
};

constexpr Part kToken[] = {{"token", "LATCHKEY_TOKEN", nullptr, &CredentialValues::token}};
constexpr Part kClient[] = {
    {"client_id", "LATCHKEY_CLIENT_ID", &CredentialValues::client_id},
    {"client_secret", "LATCHKEY_CLIENT_SECRET", nullptr, &CredentialValues::client_secret},
    {"token_endpoint", "LATCHKEY_TOKEN_ENDPOINT", &CredentialValues::token_endpoint}};
constexpr Part kAccessKey[] = {
    {"access_key", "LATCHKEY_ACCESS_KEY", nullptr, &CredentialValues::access_key},
    {"access_key_endpoint", "LATCHKEY_ACCESS_KEY_ENDPOINT",
     &CredentialValues::access_key_endpoint}};
constexpr Part kAppPassword[] = {
    {"pds", "LATCHKEY_PDS", &CredentialValues::pds},
    {"identifier", "LATCHKEY_IDENTIFIER", &CredentialValues::identifier},
    {"app_password", "LATCHKEY_APP_PASSWORD", nullptr, &CredentialValues::app_password}};
// Belongs to client credentials, which are whole without it.
constexpr Part kScope = {"scope", "LATCHKEY_SCOPE", &CredentialValues::scope};

using Made = Result<std::shared_ptr<AuthStrategy>>;

Made make_token(CredentialValues values, ObtainingOptions) {
  auto made = StaticTokenStrategy::create(std::move(values.token));
  if (!made) return std::move(made).error();
  return std::shared_ptr<AuthStrategy>(*std::move(made));
}

Made make_client(CredentialValues values, ObtainingOptions obtaining) {
  auto client = client_secret_basic(values.client_id, std::move(values.client_secret));
  return std::shared_ptr<AuthStrategy>(AccessKeyStrategy::with_client_credentials(
      std::move(values.client_id),
      {.token_endpoint = std::move(values.token_endpoint),
       .issuer = {},
       .scope = std::move(values.scope)},
      std::move(client), std::move(obtaining)));
}

Made make_access_key(CredentialValues values, ObtainingOptions obtaining) {
  return std::shared_ptr<AuthStrategy>(AccessKeyStrategy::with_key_exchange(
      {.endpoint = std::move(values.access_key_endpoint), .key = std::move(values.access_key)},
      std::move(obtaining)));
}

Made make_app_password(CredentialValues values, ObtainingOptions obtaining) {
  auto made = AppPasswordStrategy::create({.pds = std::move(values.pds),
                                           .identifier = std::move(values.identifier),
                                           .password = std::move(values.app_password),
                                           .transport = std::move(obtaining.transport),
                                           .store = std::move(obtaining.store),
                                           .clock = std::move(obtaining.clock),
                                           .random = std::move(obtaining.random),
                                           .on_warning = std::move(obtaining.on_warning)});
  if (!made) return std::move(made).error();
  return std::shared_ptr<AuthStrategy>(*std::move(made));
}

struct Kind {
  std::string_view description;
  const Part* begin_;
  const Part* end_;
  Made (*make)(CredentialValues, ObtainingOptions);
  const Part* begin() const { return begin_; }
  const Part* end() const { return end_; }
};

constexpr std::array kKinds{
    Kind{"a fixed token", std::begin(kToken), std::end(kToken), make_token},
    Kind{"client credentials", std::begin(kClient), std::end(kClient), make_client},
    Kind{"an access key", std::begin(kAccessKey), std::end(kAccessKey), make_access_key},
    Kind{"an app password", std::begin(kAppPassword), std::end(kAppPassword), make_app_password}};

std::string_view name_at(const Part& part, CredentialSource level) {
  return level == CredentialSource::environment ? part.variable : part.member;
}

std::string joined(const std::vector<std::string_view>& names) {
  std::string out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += i + 1 == names.size() ? " and " : ", ";
    out += names[i];
  }
  return out;
}

// Whether the set is whole; half of one is a mistake that must not go unnoticed.
Result<bool> is_whole(const Kind& kind, const CredentialValues& values, CredentialSource level) {
  std::vector<std::string_view> there, missing;
  for (const Part& part : kind) {
    (part.is_given(values) ? there : missing).push_back(name_at(part, level));
  }
  if (there.empty()) return false;
  if (missing.empty()) return true;
  return make_error(ErrorCode::invalid_argument, "strategy.half_set",
                    "cannot use " + std::string(kind.description) + ": there is " + joined(there) +
                        ", but not " + joined(missing) +
                        "; set what is missing, or remove the rest");
}

// The one kind that is there whole; null if there is none.
Result<const Kind*> choose(const CredentialValues& values, CredentialSource level) {
  const Kind* chosen = nullptr;
  for (const Kind& kind : kKinds) {
    const auto whole = is_whole(kind, values, level);
    if (!whole) return whole.error();
    if (!*whole) continue;
    if (chosen != nullptr) {
      return make_error(ErrorCode::invalid_argument, "strategy.ambiguous",
                        "cannot tell which credentials to use: there are both " +
                            std::string(chosen->description) + " and " +
                            std::string(kind.description) + "; remove one of them");
    }
    chosen = &kind;
  }
  return chosen;
}

std::string way_to_log_in(const Surroundings& surroundings) {
  const auto headless = headless_reason(surroundings);
  if (!headless) return "or log in";
  if (headless->ways.empty()) return "for nobody can log in here: " + headless->reason;
  std::string ways;
  for (const LoginWay way : headless->ways) {
    if (!ways.empty()) ways += " or ";
    ways += way == LoginWay::device ? "--device" : "--paste";
  }
  return "or log in with " + ways + ", for " + headless->reason;
}

Error no_credentials(const DetectOptions& options) {
  std::string sets;
  for (const Kind& kind : kKinds) {
    std::vector<std::string_view> names;
    for (const Part& part : kind) names.push_back(part.variable);
    if (!sets.empty()) sets += "; ";
    sets += joined(names);
  }
  const std::string nobody =
      options.subject.empty() ? "" : " for " + printable(options.subject, 100);
  return make_error(ErrorCode::login_required, "strategy.no_credentials",
                    "no credentials" + nobody +
                        ": nothing was given or is in the environment, and nobody has logged in; "
                        "set one of these (" +
                        sets + "), " + way_to_log_in(options.surroundings));
}

// The session of the subject, whatever its state: what is wrong with it is better said than passed
// over.
Result<bool> has_session(const DetectOptions& options) {
  if (!options.keeper || options.subject.empty()) return false;
  const auto stored = options.keeper->context().store->load(options.subject);
  if (!stored) return stored.error();
  return stored->has_value();
}

}  // namespace

std::string_view to_string(CredentialSource source) noexcept {
  switch (source) {
    case CredentialSource::given:
      return "given";
    case CredentialSource::environment:
      return "environment";
    case CredentialSource::stored_session:
      break;
  }
  return "stored_session";
}

CredentialValues credentials_from_environment(const Surroundings& surroundings) {
  CredentialValues values;
  const auto take = [&](const Part& part) {
    auto value = surroundings.variable(std::string(part.variable));
    if (!value) return;
    if (part.text != nullptr) {
      values.*part.text = *std::move(value);
    } else {
      values.*part.secret = SecretString(*value);
    }
  };
  for (const Kind& kind : kKinds) std::for_each(kind.begin(), kind.end(), take);
  take(kScope);
  return values;
}

Result<std::shared_ptr<AutoStrategy>> AutoStrategy::detect(DetectOptions options) {
  CredentialValues levels[] = {std::move(options.given),
                               credentials_from_environment(options.surroundings)};
  for (const auto source : {CredentialSource::given, CredentialSource::environment}) {
    CredentialValues& values = levels[source == CredentialSource::environment];
    const auto kind = choose(values, source);
    if (!kind) return kind.error();
    if (*kind == nullptr) continue;
    auto made = (*kind)->make(std::move(values), std::move(options.obtaining));
    if (!made) return std::move(made).error();
    return std::shared_ptr<AutoStrategy>(
        new AutoStrategy(*std::move(made), source, std::string((*kind)->description)));
  }
  const auto stored = has_session(options);
  if (!stored) return stored.error();
  if (!*stored) return no_credentials(options);
  auto session = std::make_shared<OAuthStrategy>(options.keeper, options.subject);
  return std::shared_ptr<AutoStrategy>(
      new AutoStrategy(std::move(session), CredentialSource::stored_session,
                       "the session of " + printable(options.subject, 100)));
}

}  // namespace latchkey
