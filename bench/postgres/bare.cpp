// SPDX-License-Identifier: MIT
module;
#include <libpq-fe.h>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
module latchkey.bench.postgres.bare;
import latchkey.store.postgres.connection;

namespace latchkey::bench {
namespace {

struct Clear {
  void operator()(PGresult* result) const noexcept { PQclear(result); }
};
using Rows = std::unique_ptr<PGresult, Clear>;

// A field of COPY's text format.
void append_field(std::string& line, const PostgresValue& value) {
  if (!value.form()) {
    line += "\\N";
    return;
  }
  for (const char c : *value.form()) {
    if (c == '\\') line += '\\';
    line += c;
  }
}

}  // namespace

struct Bare::Impl {
  explicit Impl(const std::string& address) : connection(PQconnectdb(address.c_str())) {
    if (PQstatus(connection) != CONNECTION_OK) fail();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() { PQfinish(connection); }

  [[noreturn]] void fail() const { throw std::runtime_error(PQerrorMessage(connection)); }

  Rows check(PGresult* result) const {
    Rows rows(result);
    const auto status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK && status != PGRES_COPY_IN) fail();
    return rows;
  }

  [[nodiscard]] std::string first_of(const Rows& rows) const {
    return PQntuples(rows.get()) > 0 && PQnfields(rows.get()) > 0
               ? std::string(PQgetvalue(rows.get(), 0, 0))
               : std::string();
  }

  PGconn* connection;
};

Bare::Bare(const std::string& address) : impl_(std::make_unique<Impl>(address)) {}
Bare::~Bare() = default;

void Bare::prepare(const char* name, const char* sql) {
  impl_->check(PQprepare(impl_->connection, name, sql, 0, nullptr));
}

std::string Bare::run(const char* name, const std::vector<std::string>& values) {
  std::vector<const char*> forms;
  for (const auto& value : values) forms.push_back(value.c_str());
  const auto rows = impl_->check(PQexecPrepared(
      impl_->connection, name, static_cast<int>(forms.size()), forms.data(), nullptr, nullptr, 0));
  return impl_->first_of(rows);
}

std::string Bare::script(const std::string& sql) {
  return impl_->first_of(impl_->check(PQexec(impl_->connection, sql.c_str())));
}

void Bare::copy(const std::string& table, const std::vector<PostgresValues>& rows) {
  impl_->check(PQexec(impl_->connection, ("COPY " + table + " FROM STDIN").c_str()));
  std::string line;
  for (const auto& row : rows) {
    line.clear();
    for (const auto& value : row) {
      if (!line.empty()) line += '\t';
      append_field(line, value);
    }
    line += '\n';
    if (PQputCopyData(impl_->connection, line.data(), static_cast<int>(line.size())) != 1) {
      impl_->fail();
    }
  }
  if (PQputCopyEnd(impl_->connection, nullptr) != 1) impl_->fail();
  impl_->check(PQgetResult(impl_->connection));
  while (PGresult* const rest = PQgetResult(impl_->connection)) impl_->check(rest);
}

}  // namespace latchkey::bench
