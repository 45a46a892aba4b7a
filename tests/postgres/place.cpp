// SPDX-License-Identifier: MIT
module;
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>
module latchkey.test.postgres_place;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;
import latchkey.store.postgres.connection;
import latchkey.test.child;
import latchkey.test.folder;

namespace latchkey::test {
namespace {

std::string random_name() {
  SystemRandom random;
  Bytes bytes(8);
  random.fill(bytes);
  return "latchkey_test_" + hex_encode(bytes);
}

// Its first line of output.
std::string control(const char* verb, const std::filesystem::path& folder,
                    const std::vector<std::string>& settings = {}) {
  std::vector<std::string> words{"/usr/bin/env", "bash", LATCHKEY_TEST_POSTGRES_SCRIPT, verb,
                                 folder.string()};
  words.insert(words.end(), settings.begin(), settings.end());
  ChildProcess script(std::move(words));
  auto line = script.read_line();
  if (script.wait() != 0) throw std::runtime_error(std::string("server.sh cannot ") + verb);
  return line;
}

std::unique_ptr<PostgresConnection> connect(const std::string& address) {
  auto connection = PostgresConnection::open(SecretString(address));
  if (!connection) throw std::runtime_error(connection.error().message);
  return *std::move(connection);
}

PostgresRows run_or_throw(PostgresConnection& connection, const std::string& sql) {
  auto rows = connection.script(sql);
  if (!rows) throw std::runtime_error(rows.error().message);
  return *std::move(rows);
}

// Where the parts of postgresql://user@host:port/database begin.
struct Parts {
  explicit Parts(const std::string& address)
      : user(address.find("//") + 2),
        at(address.find('@')),
        colon(address.find(':', at)),
        slash(address.find('/', at)) {}
  std::size_t user, at, colon, slash;
};

}  // namespace

PrivateServer::PrivateServer(const std::vector<std::string>& settings)
    : folder_(std::filesystem::temp_directory_path() / random_name()) {
  constexpr std::string_view kAddress = "address=";
  const auto line = control("start", folder_, settings);
  if (!line.starts_with(kAddress)) throw std::runtime_error("server.sh gave no address");
  address_ = line.substr(kAddress.size());
}

PrivateServer::~PrivateServer() {
  try {
    control("remove", folder_);
  } catch (const std::exception&) {
    // It ends by itself soon after its folder is gone.
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
}

void PrivateServer::start() {
  control("start", folder_);
}

void PrivateServer::stop() {
  control("stop", folder_);
}

void PrivateServer::kill() {
  control("kill", folder_);
}

void PrivateServer::pause() {
  control("pause", folder_);
}

void PrivateServer::resume() {
  control("resume", folder_);
}

std::string shared_server() {
  if (const char* folder = std::getenv("LATCHKEY_TEST_POSTGRES")) {
    auto address = read_text(std::filesystem::path(folder) / "address");
    if (!address) throw std::runtime_error("the fixture's server is not there");
    return address->substr(0, address->find('\n'));
  }
  static const PrivateServer server;
  return server.address();
}

std::uint16_t port_of(const std::string& address) {
  const Parts parts(address);
  std::uint16_t port = 0;
  std::from_chars(&address[parts.colon + 1], &address[parts.slash], port);
  return port;
}

std::string with_database(const std::string& address, const std::string& name) {
  return address.substr(0, Parts(address).slash + 1) + name;
}

std::string with_user(const std::string& address, const std::string& user) {
  const Parts parts(address);
  return address.substr(0, parts.user) + user + address.substr(parts.at);
}

std::string with_port(const std::string& address, std::uint16_t port) {
  const Parts parts(address);
  return address.substr(0, parts.colon + 1) + std::to_string(port) + address.substr(parts.slash);
}

PostgresPlace::PostgresPlace(const std::string& server, const std::string& options)
    : server_(server), name_(random_name()), address_(with_database(server, name_)) {
  run_or_throw(*connect(server_), "CREATE DATABASE " + name_ + ' ' + options);
}

PostgresPlace::~PostgresPlace() {
  connection_.reset();
  // A server that is down takes its databases along.
  if (const auto connection = PostgresConnection::open(SecretString(server_))) {
    static_cast<void>((*connection)->script("DROP DATABASE " + name_ + " WITH (FORCE)"));
  }
}

PostgresRows PostgresPlace::run(const std::string& sql) {
  if (!connection_) connection_ = connect(address_);
  auto rows = connection_->script(sql);
  if (rows) return *std::move(rows);
  if (connection_->is_open()) throw std::runtime_error(rows.error().message);
  connection_ = connect(address_);
  return run_or_throw(*connection_, sql);
}

std::string PostgresPlace::value(const std::string& sql) {
  const auto rows = run(sql);
  return rows.size() == 0 ? std::string() : std::string(rows.text(0, 0).value_or(""));
}

int PostgresPlace::end_connections() {
  const auto ended = value(
      "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
      "WHERE datname = current_database() AND pid <> pg_backend_pid()");
  return std::stoi(ended);
}

}  // namespace latchkey::test
