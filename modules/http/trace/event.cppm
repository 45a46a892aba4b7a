// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
export module latchkey.http.trace.event;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.http.trace.words;

// What a trace tells of one moment. No member of these can hold a secret: there are numbers,
// enumerators, and the types of latchkey.http.trace.words. docs/trace.md is the format of the
// lines.

export namespace latchkey {

/// Who takes part, by the part that is played.
enum class TraceRole {
  client,  ///< this program
  browser,
  authorization_server,
  pds,              ///< an AT Protocol server, by its XRPC methods and its metadata
  resource_server,  ///< whom else a token is for
  directory,        ///< who keeps a DID document: the PLC directory, or the host of a did:web
  handle_host,      ///< who says whose a handle is
};
/// The enumerator's name. Stable.
[[nodiscard]] std::string_view to_string(TraceRole role) noexcept;

/// Why a request was sent once more.
enum class TraceRetry {
  none,
  use_dpop_nonce,   ///< the answer asked for a nonce (RFC 9449 §8, §9)
  clock,            ///< the proof was refused, and the server's clock is another
  connection_lost,  ///< no answer came
  token_renewed,    ///< the access token was refused
};
/// The enumerator's name. Stable.
[[nodiscard]] std::string_view to_string(TraceRetry retry) noexcept;

/// A DPoP proof.
struct TracedProof {
  TraceKey key{};
  bool has_nonce = false;
};

/// A request is about to be sent.
struct TracedRequest {
  TraceRole to{};
  TraceOrigin origin{};
  TraceWord method{};
  TracePath path{};
  TraceWord purpose{};        ///< "par", "token", "xrpc", ...: docs/trace.md has the list
  TraceWord grant{};          ///< of a token request
  TraceWord authorization{};  ///< the scheme, if the request carries one
  std::optional<TracedProof> proof{};
  std::size_t bytes = 0;  ///< of the body
  unsigned attempt = 1;
  TraceRetry retry = TraceRetry::none;
  std::uint64_t repeats = 0;  ///< the event of the attempt before; 0: there is none
};

/// Any status is an answer.
struct TracedAnswer {
  std::uint64_t request = 0;  ///< its event
  int status = 0;
  TraceWord error{};       ///< that the server named
  bool new_nonce = false;  ///< a DPoP nonce came that the proof did not have
  std::optional<std::chrono::seconds> retry_after{};
  std::size_t bytes = 0;  ///< of the body
  Duration took{};
};

/// No answer came.
struct TracedFailure {
  std::uint64_t request = 0;  ///< its event
  ErrorCode code{};
  TraceDetail detail{};
  Delivery delivery{};
  Duration took{};
};

/// Something else happened, between two of those who take part or within one.
struct TracedStep {
  TraceRole from{};
  TraceRole to{};
  TraceWord name{};
  std::optional<ErrorCode> code{};  ///< it failed, or reports a failure
  TraceDetail detail{};
};

using TraceItem = std::variant<TracedRequest, TracedAnswer, TracedFailure, TracedStep>;

struct TraceEvent {
  std::uint32_t run = 0;  ///< the same for all events of one Tracer
  std::uint64_t id = 0;   ///< 1, 2, ... within the run
  TimePoint at{};
  TraceItem what{};
};

/// The version that every line names.
inline constexpr int kTraceVersion = 1;

/// One object on one line, without the line's end.
[[nodiscard]] std::string trace_line(const TraceEvent& event);

}  // namespace latchkey
