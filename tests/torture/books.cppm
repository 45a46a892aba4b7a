// SPDX-License-Identifier: MIT
module;
#include <cstddef>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.torture_books;

// The books of a torture run: what the server saw of each session's refreshes, what killed workers
// were doing, and from both whether a session that died was in the unavoidable window, which is
// between the server's consuming a refresh token and the durable save of what it gave instead.
// Pure.

export namespace latchkey::test {

/// Stands for a refresh token, or for a request by its proof, which no other request has; never 0.
using Mark = std::uint64_t;
[[nodiscard]] Mark mark_of(std::string_view secret);

/// How far a refresh has got, as its process knew.
enum class Stage : std::uint32_t {
  idle,
  claimed,   ///< the claim is being written, nothing has been sent
  posting,   ///< the request may be under way
  answered,  ///< there is an answer; it is being saved
  unsaved,   ///< a save failed: the only good token is in memory. With room reserved this must not
             ///< be
};
[[nodiscard]] std::string_view to_string(Stage stage) noexcept;

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

/// A refresh that a process was in the midst of when it ended.
struct CutRefresh {
  std::size_t subject = 0;  ///< number of the account
  Mark request = 0;         ///< 0 before `posting`
  Stage stage{};
};

enum class Cause { answer_lost, killed_posting, killed_saving, lost };
inline constexpr std::size_t kCauses = 4;
[[nodiscard]] std::string_view to_string(Cause cause) noexcept;

/// Why a session died. Every cause but `lost` is in the window.
struct Death {
  Cause cause{};
  std::string story;  ///< what is known about it, for people
};

class Books {
 public:
  void enter(ServedRefresh refresh);
  void enter(CutRefresh refresh);

  /// Of the session with this key, which is dead.
  [[nodiscard]] Death judge(const std::string& key) const;
  /// Spent tokens that were sent again although nothing had been lost, each with its story.
  [[nodiscard]] std::vector<std::string> replays_outside() const;
  /// Refusals that a client gives no cause for: unknown tokens, wrong keys and clients.
  [[nodiscard]] std::vector<std::string> strange_refusals() const;
  [[nodiscard]] std::size_t replays() const noexcept { return replayed_.size(); }
  /// Is there a reason for a claim on this live session: a refresh of it that was cut off or met a
  /// fault since the last one that went well?
  [[nodiscard]] bool explains_claim(std::size_t subject, const std::string& key) const;

 private:
  struct Consumed {
    Mark request = 0;
    Answer answer{};
    std::string fault;
  };
  [[nodiscard]] Death judge_token(Mark token) const;
  [[nodiscard]] std::string history(const std::string& key) const;

  std::map<Mark, Consumed> consumed_;                           // by token
  std::map<Mark, std::set<Stage>> cut_;                         // by request
  std::map<std::string, std::vector<ServedRefresh>> sessions_;  // by key, in order
  std::map<std::string, bool> open_;  // by key: the last request's outcome is unknown
  std::set<std::size_t> cut_subjects_;
  std::vector<ServedRefresh> replayed_, strange_;
};

}  // namespace latchkey::test
