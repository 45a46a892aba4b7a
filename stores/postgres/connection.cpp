// SPDX-License-Identifier: MIT
module;
#include <fcntl.h>
#include <unistd.h>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <map>
#include <memory>
#include <optional>
#include <pqxx/pqxx>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.store.postgres.connection;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.watchdog;

namespace latchkey {
namespace {

constexpr std::string_view kHexPrefix = "\\x";

// By its text: behind a pooler another program may have prepared a statement of this name in the
// same session, and it must then be this one.
std::string name_of(std::string_view sql) {
  return "latchkey_" + hex_encode(sha256(sql)).substr(0, 32);
}

Error connection_lost() {
  return make_error(ErrorCode::io, "postgres.connection_lost",
                    "lost the connection to the database: it was closed before the answer was "
                    "there; try again when the database can be reached");
}

// Not every exception of libpqxx carries its SQLSTATE. A verbose message does, whatever language it
// is in: "ERROR:  42501: permission denied".
std::string sqlstate_in(std::string_view message) {
  constexpr std::string_view kBefore = ":  ";
  constexpr std::size_t kSize = 5;
  const auto from = message.find(kBefore);
  if (from == std::string_view::npos) return {};
  const auto rest = message.substr(from + kBefore.size());
  const bool is_state =
      rest.find(": ") == kSize && std::ranges::all_of(rest.substr(0, kSize), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
      });
  return is_state ? std::string(rest.substr(0, kSize)) : std::string();
}

// A second descriptor of the socket: libpq closes its own as soon as it notices that the connection
// is lost, and the number may belong to another file by the time that it is to be shut down.
struct Lifeline {
  Lifeline(PostgresWatchdog& dog, int original, std::chrono::milliseconds time)
      : watchdog(dog), socket(::fcntl(original, F_DUPFD_CLOEXEC, 0)), patience(time) {}
  Lifeline(const Lifeline&) = delete;
  Lifeline& operator=(const Lifeline&) = delete;
  ~Lifeline() {
    if (socket >= 0) ::close(socket);
  }

  PostgresWatchdog& watchdog;
  const int socket;
  const std::chrono::milliseconds patience;
};

}  // namespace

PostgresValue PostgresValue::integer(std::int64_t value) {
  return PostgresValue(std::to_string(value));
}

PostgresValue PostgresValue::integer(std::optional<std::int64_t> value) {
  return value ? integer(*value) : null();
}

PostgresValue PostgresValue::bytes(std::span<const unsigned char> value) {
  return PostgresValue(std::string(kHexPrefix) + hex_encode(value));
}

struct PostgresRows::Impl {
  pqxx::result result;

  [[nodiscard]] pqxx::field field(std::size_t row, int column) const {
    return result.at(static_cast<pqxx::result::size_type>(row))
        .at(static_cast<pqxx::row::size_type>(column));
  }
};

PostgresRows::PostgresRows() = default;
PostgresRows::PostgresRows(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresRows::PostgresRows(PostgresRows&&) noexcept = default;
PostgresRows& PostgresRows::operator=(PostgresRows&&) noexcept = default;
PostgresRows::~PostgresRows() = default;

std::size_t PostgresRows::size() const noexcept {
  return impl_ ? static_cast<std::size_t>(impl_->result.size()) : 0;
}

std::size_t PostgresRows::affected() const noexcept {
  return impl_ ? static_cast<std::size_t>(impl_->result.affected_rows()) : 0;
}

bool PostgresRows::is_null(std::size_t row, int column) const {
  return impl_->field(row, column).is_null();
}

std::optional<std::string_view> PostgresRows::text(std::size_t row, int column) const {
  const auto field = impl_->field(row, column);
  if (field.is_null()) return std::nullopt;
  return std::string_view(field.c_str(), field.size());
}

std::optional<std::int64_t> PostgresRows::integer(std::size_t row, int column) const {
  const auto form = text(row, column);
  if (!form) return std::nullopt;
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(form->data(), form->data() + form->size(), value);
  if (fault != std::errc() || end != form->data() + form->size()) return std::nullopt;
  return value;
}

std::optional<Bytes> PostgresRows::bytes(std::size_t row, int column) const {
  const auto form = text(row, column);
  if (!form || !form->starts_with(kHexPrefix)) return std::nullopt;
  auto decoded = hex_decode(form->substr(kHexPrefix.size()));
  if (!decoded) return std::nullopt;
  return *std::move(decoded);
}

// libpqxx reconnects by itself unless it is told not to: a statement could then be sent to another
// session than the one that its transaction was begun in.
struct PostgresConnection::Impl {
  explicit Impl(const std::string& address) : connection(address), quiet(connection) {
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdeprecated-declarations"
    connection.inhibit_reactivation(true);
#pragma clang diagnostic pop
    connection.set_verbosity(pqxx::connection_base::verbose);
  }

  template <class Work>
  Result<PostgresRows> attempt(const Work& work) {
    std::optional<PostgresWatchdog::Watch> watch;
    if (lifeline) watch.emplace(lifeline->watchdog, lifeline->socket, lifeline->patience);
    auto rows = carry_out(work);
    if (!rows) ++traffic.failures;
    return rows;
  }

  template <class Work>
  Result<PostgresRows> carry_out(const Work& work) {
    if (!connection.is_open()) return connection_lost();
    try {
      ++traffic.round_trips;
      pqxx::nontransaction statements(connection);
      return PostgresRows(std::make_unique<PostgresRows::Impl>(work(statements)));
    } catch (const std::exception& fault) {
      const auto state = sqlstate_in(fault.what());
      if (!connection.is_open() || state.empty()) return connection_lost();
      return postgres_error(state, fault.what());
    }
  }

  pqxx::connection connection;
  pqxx::quiet_errorhandler quiet;
  std::map<const char*, std::string> prepared;  // their names
  PostgresTraffic traffic;
  std::optional<Lifeline> lifeline;
};

PostgresConnection::PostgresConnection(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PostgresConnection::~PostgresConnection() = default;

Result<std::unique_ptr<PostgresConnection>> PostgresConnection::open(const SecretString& address) {
  try {
    return std::unique_ptr<PostgresConnection>(
        new PostgresConnection(std::make_unique<Impl>(std::string(address.expose()))));
  } catch (const std::exception& fault) {
    return postgres_refusal(fault.what());
  }
}

Result<PostgresRows> PostgresConnection::run(const char* sql, const PostgresValues& values) {
  std::vector<const char*> forms;
  forms.reserve(values.size());
  for (const PostgresValue& value : values) {
    if (value.form() && value.form()->find('\0') != std::string::npos) {
      return make_error(ErrorCode::invalid_argument, "postgres.text",
                        "cannot keep a text with a NUL in it: PostgreSQL does not; remove it");
    }
    forms.push_back(value.form() ? value.form()->c_str() : nullptr);
  }
  return impl_->attempt([&](pqxx::nontransaction& statements) {
    const auto [entry, is_new] = impl_->prepared.try_emplace(sql);
    if (is_new) {
      entry->second = name_of(sql);
      impl_->connection.prepare(entry->second, sql);  // sent with its first use
      ++impl_->traffic.round_trips;
    }
    return statements.exec_prepared(entry->second, pqxx::prepare::make_dynamic_params(forms));
  });
}

Result<PostgresRows> PostgresConnection::script(const std::string& sql) {
  return impl_->attempt([&](pqxx::nontransaction& statements) { return statements.exec(sql); });
}

void PostgresConnection::be_watched(PostgresWatchdog& watchdog,
                                    std::chrono::milliseconds patience) {
  impl_->lifeline.emplace(watchdog, impl_->connection.sock(), patience);
}

const PostgresTraffic& PostgresConnection::traffic() const noexcept {
  return impl_->traffic;
}

bool PostgresConnection::is_open() const noexcept {
  return impl_->connection.is_open();
}

void PostgresConnection::close() noexcept {
  impl_->connection.disconnect();
}

}  // namespace latchkey
