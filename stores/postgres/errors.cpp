// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
module latchkey.store.postgres.connection;
import latchkey.core.encoding;
import latchkey.core.error;

// What PostgreSQL and libpq say, as errors of ours.

namespace latchkey {
namespace {

struct Meaning {
  std::string_view state;  ///< a SQLSTATE, or the class that it begins with
  ErrorCode code;
  std::string_view detail;
  std::string_view remedy;
};

// Whole states before their classes. None is a `conflict`: that would say that another revision is
// stored, which only the store itself can judge. CockroachDB says 40003 when it does not know the
// outcome, to which running the statement again is the answer too.
constexpr std::array kMeanings{
    Meaning{"40", ErrorCode::locked, "postgres.serialization", "try again"},
    Meaning{"55P03", ErrorCode::locked, "postgres.busy",
            "another transaction holds the row; try again"},
    Meaning{"53300", ErrorCode::locked, "postgres.busy",
            "raise max_connections of the server, or lower those of its clients"},
    Meaning{"23", ErrorCode::io, "postgres.constraint",
            "try again; if that does not help, see the server's log"},
    Meaning{"42P07", ErrorCode::locked, "postgres.constraint",
            "another program makes the same tables; try again"},
    Meaning{"42710", ErrorCode::locked, "postgres.constraint",
            "another program makes the same tables; try again"},
    Meaning{"57014", ErrorCode::io, "postgres.timeout",
            "nothing was changed; try again when the server has less to do"},
    Meaning{"25P03", ErrorCode::io, "postgres.timeout",
            "nothing was changed; try again when this machine has less to do"},
    Meaning{"53200", ErrorCode::io, "postgres.failed", "give the server more memory"},
    Meaning{"53", ErrorCode::io, "postgres.no_space", "make room where the server keeps its data"},
    Meaning{"25006", ErrorCode::io, "postgres.read_only",
            "connect to the primary server, or wait until there is one"},
    Meaning{"57P", ErrorCode::io, "postgres.shutting_down", "try again when the server is up"},
    Meaning{"08", ErrorCode::io, "postgres.connection_lost",
            "try again when the database can be reached"},
    Meaning{"26000", ErrorCode::io, "postgres.session_lost",
            "a pooler in between gives each transaction another session: let it keep prepared "
            "statements, or pool whole sessions"},
    Meaning{"42P05", ErrorCode::io, "postgres.session_lost",
            "a pooler in between gives each transaction another session: let it keep prepared "
            "statements, or pool whole sessions"},
    Meaning{"42501", ErrorCode::insecure_location, "postgres.privilege",
            "grant this role what docs/scaling.md lists"},
    Meaning{"3F000", ErrorCode::insecure_location, "postgres.privilege",
            "there is no schema where this role may make tables; set its search_path"},
    Meaning{"28", ErrorCode::insecure_location, "postgres.privilege",
            "grant this role what docs/scaling.md lists"},
    Meaning{"42P01", ErrorCode::corrupt, "postgres.schema",
            "a table is missing; restore the database, or look at the role's search_path"},
    Meaning{"42703", ErrorCode::corrupt, "postgres.schema",
            "a column is missing; restore the database, or look at the role's search_path"},
    Meaning{"XX001", ErrorCode::corrupt, "postgres.damaged", "restore the database from a backup"},
    Meaning{"XX002", ErrorCode::corrupt, "postgres.damaged", "rebuild the index that it names"},
    Meaning{"22021", ErrorCode::invalid_argument, "postgres.text", "use text in UTF-8"},
    Meaning{"22P05", ErrorCode::invalid_argument, "postgres.text", "use text in UTF-8"},
};
constexpr Meaning kUnknown{"", ErrorCode::io, "postgres.failed", "see the server's log"};

const Meaning& meaning_of(std::string_view sqlstate) {
  const auto* const found = std::ranges::find_if(
      kMeanings, [&](const Meaning& meaning) { return sqlstate.starts_with(meaning.state); });
  return found == kMeanings.end() ? kUnknown : *found;
}

// Without "ERROR:  42501: ", and without further lines, which quote rows and parameters.
std::string first_line(std::string_view message, std::string_view sqlstate) {
  message = message.substr(0, message.find('\n'));
  const auto state = message.find(std::string(sqlstate) + ": ");
  if (state != std::string_view::npos) message.remove_prefix(state + sqlstate.size() + 2);
  return printable(message, 200);
}

struct Refusal {
  ErrorCode code;
  std::string_view detail;
  std::string_view cause;
  std::string_view remedy;
  std::span<const std::string_view> signs;  ///< parts of libpq's text, in English as it always is
};

constexpr std::array<std::string_view, 8> kAddressSigns{
    "missing \"=\"",   "invalid connection option",
    "invalid URI",     "definition of service",
    "invalid integer", "invalid port",
    "could not match", " value: \""};
constexpr std::array<std::string_view, 2> kTlsFileSigns{"certificate file", "private key file"};
constexpr std::array<std::string_view, 6> kRefusedSigns{
    "authentication failed", "no password supplied",       "does not exist",
    "pg_hba.conf",           "is not permitted to log in", "permission denied for database"};
constexpr std::array<std::string_view, 4> kStartingSigns{"starting up", "shutting down",
                                                         "in recovery mode", "not yet accepting"};
constexpr std::array<std::string_view, 4> kFullSigns{
    "too many clients", "connection slots are reserved", "too many connections",
    "no more connections allowed"};
constexpr std::array<std::string_view, 3> kReadOnlySigns{"session is read-only", "hot standby mode",
                                                         "is not read-only"};
constexpr std::array<std::string_view, 3> kBrokenSigns{
    "SSL SYSCALL", "SSL connection has been closed", "server closed the connection"};
constexpr std::array<std::string_view, 3> kTlsSigns{"SSL", "certificate",
                                                    "does not match host name"};
constexpr std::array<std::string_view, 1> kLateSigns{"timeout expired"};
constexpr std::array<std::string_view, 2> kNameSigns{"could not translate host name",
                                                     "could not parse network address"};

// Of several hosts each may have another reason: first what waiting does not mend. A handshake that
// is cut is no refusal of a certificate.
constexpr std::array kRefusals{
    Refusal{ErrorCode::invalid_argument, "postgres.address", "libpq cannot read its address",
            "see 'Connection Strings' in PostgreSQL's manual; a URI needs its password "
            "percent-encoded",
            kAddressSigns},
    Refusal{ErrorCode::io, "postgres.tls",
            "a file with a certificate or key is missing or unusable",
            "look at sslrootcert, sslcert and sslkey", kTlsFileSigns},
    Refusal{ErrorCode::io, "postgres.refused", "the server refuses this user, password or database",
            "look at its log and pg_hba.conf, and at PGPASSFILE here", kRefusedSigns},
    Refusal{ErrorCode::io, "postgres.starting", "the server is starting or stopping",
            "try again in some seconds", kStartingSigns},
    Refusal{ErrorCode::io, "postgres.too_many_connections", "the server has no connection left",
            "raise its max_connections, or lower those of its clients", kFullSigns},
    Refusal{ErrorCode::io, "postgres.read_only", "no server that takes writes answers",
            "name the primary server in the address, or wait until there is one", kReadOnlySigns},
    Refusal{ErrorCode::io, "postgres.unreachable", "it closed the connection at once",
            "see whether the server is up", kBrokenSigns},
    Refusal{ErrorCode::io, "postgres.tls", "its certificate or handshake is not what is demanded",
            "look at sslmode, sslrootcert and the names in the server's certificate", kTlsSigns},
    Refusal{ErrorCode::io, "postgres.unreachable", "it did not answer in time",
            "see whether the server is up and reachable from here", kLateSigns},
    Refusal{ErrorCode::io, "postgres.unreachable", "its host name is not known",
            "correct the host, or see whether DNS works here", kNameSigns},
};
constexpr Refusal kUnreachable{ErrorCode::io,
                               "postgres.unreachable",
                               "nobody answers there",
                               "see whether the server is up, and whether host and port are right",
                               {}};

// "FATAL:  " in whatever language, so somebody did answer.
constexpr std::array<std::string_view, 1> kServerSigns{":  "};
constexpr Refusal kUnclear{ErrorCode::io, "postgres.refused_unclear",
                           "a server or pooler refuses it, for a reason that is not known here",
                           "see its log", kServerSigns};

const Refusal& refusal_of(std::string_view message) {
  const auto fits = [&](const Refusal& refusal) {
    return std::ranges::any_of(refusal.signs, [&](std::string_view sign) {
      return message.find(sign) != std::string_view::npos;
    });
  };
  const auto* const found = std::ranges::find_if(kRefusals, fits);
  if (found != kRefusals.end()) return *found;
  return fits(kUnclear) ? kUnclear : kUnreachable;
}

}  // namespace

Error postgres_error(std::string_view sqlstate, std::string_view message) {
  const Meaning& meaning = meaning_of(sqlstate);
  return make_error(meaning.code, meaning.detail,
                    "the database refuses: " + first_line(message, sqlstate) + " (" +
                        printable(sqlstate, 5) + "); " + std::string(meaning.remedy));
}

Error postgres_refusal(std::string_view message) {
  const Refusal& refusal = refusal_of(message);
  return make_error(refusal.code, refusal.detail,
                    "cannot connect to the database: " + std::string(refusal.cause) + "; " +
                        std::string(refusal.remedy));
}

}  // namespace latchkey
