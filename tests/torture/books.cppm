// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>
export module latchkey.test.torture_books;
import latchkey.test.torture_notes;
import latchkey.test.torture_takeover;

// The books of a torture run: what the server saw of each session's refreshes, what killed workers
// were doing, and from both whether a session that died was in the unavoidable window, which is
// between the server's consuming a refresh token and the durable save of what it gave instead.
// Pure.

export namespace latchkey::test {

/// What became of the answer to a refresh.
enum class Answer { delivered, lost };

/// A refresh request, as the server saw it.
struct ServedRefresh {
  std::string key;  ///< thumbprint of the proof's key: whose session it is
  Mark token = 0;
  Mark request = 0;
  bool consumed = false;  ///< the token was good, and is spent now
  Answer answer = Answer::delivered;
  std::string fault;    ///< the scripted fault that it met; empty: none
  std::string refusal;  ///< why it was refused; empty: it was not
};

class Books {
 public:
  Books() = default;
  /// Over a store whose leases expire.
  explicit Books(ExpiringLease lease) : lease_(lease) {}

  void enter(ServedRefresh refresh);
  /// Of a process that was killed in the midst of it.
  void enter_cut(const RefreshNote& note);
  /// The latest of a request counts.
  void enter_note(const RefreshNote& note);
  /// One that has the worker and the beginning of an earlier one is that one, which has ended.
  void enter_stop(Stop stop);

  /// Of the session with this key, which is dead.
  [[nodiscard]] Death judge(const std::string& key) const;
  /// Spent tokens that were sent again although nothing had been lost, each with its story.
  [[nodiscard]] std::vector<std::string> replays_outside() const;
  /// Refusals that a client gives no cause for: unknown tokens, wrong keys and clients.
  [[nodiscard]] std::vector<std::string> strange_refusals() const;
  [[nodiscard]] std::size_t replays() const noexcept { return replayed_.size(); }
  /// Is there a reason for a claim on this live session: a refresh of it that was cut off or
  /// stopped, or that met a fault since the last one that went well?
  [[nodiscard]] bool explains_claim(std::size_t subject, const std::string& key) const;

 private:
  struct Consumed {
    Mark request = 0;
    Answer answer{};
    std::string fault;
  };
  [[nodiscard]] Death judge_token(Mark token) const;
  [[nodiscard]] Death judge_delivered(Mark token, Mark consumer) const;
  [[nodiscard]] const RefreshNote* note_of(Mark request) const;
  [[nodiscard]] std::string history(const std::string& key) const;

  std::optional<ExpiringLease> lease_;
  std::map<Mark, Consumed> consumed_;    // by token
  std::map<Mark, std::set<Stage>> cut_;  // by request
  std::map<Mark, RefreshNote> notes_;    // by request
  std::vector<Stop> stops_;
  std::map<std::string, std::vector<ServedRefresh>> sessions_;  // by key, in order
  std::map<std::string, bool> open_;  // by key: the last request's outcome is unknown
  std::set<std::size_t> cut_subjects_;
  std::vector<ServedRefresh> replayed_, strange_;
};

}  // namespace latchkey::test
