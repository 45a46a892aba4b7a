// SPDX-License-Identifier: MIT
module;
#include <libpq-fe.h>
#include <strings.h>
#include <array>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
module latchkey.store.postgres.address;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.connection;

namespace latchkey {
namespace {

struct FreeOptions {
  void operator()(PQconninfoOption* options) const noexcept {
    for (auto* option = options; option->keyword != nullptr; ++option) {
      if (option->val != nullptr) ::explicit_bzero(option->val, std::strlen(option->val));
    }
    PQconninfoFree(options);
  }
};
using Options = std::unique_ptr<PQconninfoOption, FreeOptions>;

// Only what the address itself says. libpq's text for one that it cannot read may quote a password.
Options written_in(const SecretString& address) {
  SecretBuilder text;
  text.append(address.expose()).append('\0');
  const SecretString terminated = std::move(text).finish();
  char* fault = nullptr;
  Options options(PQconninfoParse(terminated.expose().data(), &fault));
  if (fault != nullptr) ::explicit_bzero(fault, std::strlen(fault));
  PQfreemem(fault);
  return options;
}

// What libpq would use, its environment and service file included. An impossible value of one
// option makes it stop after it has put all together, before it connects anywhere.
Options used_for(const SecretString& keywords) {
  SecretBuilder text;
  text.append(keywords.expose()).append(" channel_binding=none_of_them").append('\0');
  const SecretString terminated = std::move(text).finish();
  PGconn* const never_connected = PQconnectStart(terminated.expose().data());
  if (never_connected == nullptr) return {};
  Options options(PQconninfo(never_connected));
  PQfinish(never_connected);
  return options;
}

std::string_view value_of(const Options& options, std::string_view keyword) {
  for (auto* option = options.get(); option != nullptr && option->keyword != nullptr; ++option) {
    if (option->keyword == keyword && option->val != nullptr) return option->val;
  }
  return {};
}

void append(SecretBuilder& text, std::string_view keyword, std::string_view value) {
  text.append(keyword).append("='");
  for (const char c : value) {
    if (c == '\'' || c == '\\') text.append('\\');
    text.append(c);
  }
  text.append("' ");
}

SecretString keywords_of(const Options& options) {
  SecretBuilder text;
  for (auto* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) append(text, option->keyword, option->val);
  }
  return std::move(text).finish();
}

struct Default {
  std::string_view keyword;
  std::string value;
};

// Idle connections: a server that vanished is noticed after a minute.
std::array<Default, 6> values_of(const PostgresAddressDefaults& defaults) {
  return {{{"connect_timeout", std::to_string(defaults.connect_timeout.count())},
           {"fallback_application_name", "latchkey"},
           {"keepalives_idle", "30"},
           {"keepalives_interval", "10"},
           {"keepalives_count", "3"},
           {"tcp_user_timeout", std::to_string(defaults.answer_timeout.count())}}};
}

}  // namespace

Result<SecretString> complete_postgres_address(const SecretString& address,
                                               const PostgresAddressDefaults& defaults) {
  const Options written = written_in(address);
  if (!written) return postgres_refusal("invalid URI");
  const SecretString keywords = keywords_of(written);
  const Options used = used_for(keywords);
  SecretBuilder text;
  text.append(keywords.expose());
  for (const auto& [keyword, value] : values_of(defaults)) {
    if (value_of(used, keyword).empty()) append(text, keyword, value);
  }
  const auto attributes = value_of(used, "target_session_attrs");
  const bool is_open = attributes.empty() || attributes == "any";
  if (is_open && value_of(written, "target_session_attrs").empty()) {
    append(text, "target_session_attrs", "read-write");
  }
  return std::move(text).finish();
}

Result<std::string> postgres_address_name(const SecretString& address) {
  const Options written = written_in(address);
  if (!written) return postgres_refusal("invalid URI");
  const Options used = used_for(keywords_of(written));
  const auto host = value_of(used, "host"), at = value_of(used, "hostaddr");
  std::string name = "postgresql://";
  name.append(host.empty() ? at : host).append(":").append(value_of(used, "port"));
  return name.append("/").append(value_of(used, "dbname"));
}

}  // namespace latchkey
