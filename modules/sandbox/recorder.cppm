// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>
export module latchkey.sandbox.recorder;
import latchkey.sandbox.message;

// What passed: one record a request, without what is secret, and the secrets apart, if asked for.

export namespace latchkey::sandbox {

/// What can be told of a DPoP proof without telling its nonce. Read, not verified.
struct ProofSummary {
  std::string jti;
  bool nonce = false;  ///< it has one
  bool ath = false;
};

/// One request that reached a server.
struct RecordedRequest {
  std::uint64_t number = 0;  ///< 1 for the first
  Server server{};
  std::string method;
  std::string path;
  std::string agent;         ///< User-Agent
  std::string grant_type;    ///< of a form
  std::string redirect_uri;  ///< of a form
  std::optional<ProofSummary> proof{};
  int status = 0;      ///< of the answer; 0 if the connection was dropped before one was made
  std::string error;   ///< the name in an error answer, e.g. "invalid_grant"
  std::string detail;  ///< why it was refused, e.g. "refresh.replayed"; empty: it was not
  std::string fault;   ///< the scripted fault it met; empty: none
  Request contents{};  ///< if contents are kept
};

/// Not thread-safe.
class Recorder {
 public:
  /// `keep_contents`: whole requests too, tokens, codes and passwords among it.
  explicit Recorder(bool keep_contents) : keep_contents_(keep_contents) {}

  /// What a request says of itself.
  [[nodiscard]] RecordedRequest describe(Server server, const Request& request) const;
  /// Numbers the record and keeps it, the last ten thousand.
  void add(RecordedRequest record);
  [[nodiscard]] const std::deque<RecordedRequest>& all() const noexcept { return records_; }
  /// The next record still has the next number.
  void forget() { records_.clear(); }

  /// From now on secrets are remembered that pass.
  void capture() { capturing_ = true; }
  /// Looks for them: codes, verifiers and tokens.
  void learn(const Request& request, const Response& answer);
  /// In the order in which they were first seen.
  [[nodiscard]] const std::vector<std::string>& captured() const noexcept { return captured_; }

 private:
  void remember(const std::optional<std::string>& secret);

  bool keep_contents_ = false, capturing_ = false;
  std::uint64_t last_ = 0;
  std::deque<RecordedRequest> records_;
  std::vector<std::string> captured_;
  std::unordered_set<std::string> known_;
};

/// The "error" of an error answer's JSON, or "".
[[nodiscard]] std::string error_name(const Response& answer);

}  // namespace latchkey::sandbox
