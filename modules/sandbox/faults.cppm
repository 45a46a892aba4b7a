// SPDX-License-Identifier: MIT
module;
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.sandbox.faults;
export import latchkey.sandbox.hostile_forms;
import latchkey.sandbox.message;
import latchkey.sandbox.server;

// What goes wrong, scripted: each fault names the requests that it is for and what happens to them.

export namespace latchkey::sandbox {

enum class FaultKind {
  drop_before,   ///< the connection is closed, nothing is processed
  drop_after,    ///< processed, then the connection is closed instead of an answer
  delay,         ///< processed at once, answered after `delay`
  hold,          ///< processed at once, answered after Sandbox::release()
  truncate,      ///< processed, half of the answer's body arrives
  status,        ///< not processed; answered with `status`, Retry-After and `text` if set
  status_after,  ///< processed, and answered like that all the same
  content_type,  ///< processed, and the answer says that it is `text`
  huge_body,     ///< processed, and the body is made `size` bytes long
  garbage,       ///< processed, and the body is `text`
  redirect,      ///< not processed; 307 to `text`
  nonce_storm,   ///< not processed; a nonce is asked for, and the one given will not be good
  slow_head,     ///< processed at once, the answer comes byte by byte, one every `delay`
  slow_body,     ///< the same, once its head is sent
  hostile,       ///< processed, and the answer is made what the HostileForm named `text` says
};
[[nodiscard]] std::string_view to_string(FaultKind kind) noexcept;

/// A kind as scripts in JSON know it.
struct FaultKindName {
  FaultKind kind{};
  std::string_view name;
  std::string_view needs{};  ///< the member of the JSON without which it makes no sense
};
using FaultKindNames = std::array<FaultKindName, static_cast<std::size_t>(FaultKind::hostile) + 1>;
/// All kinds, in their order.
[[nodiscard]] const FaultKindNames& fault_kinds() noexcept;

struct Fault {
  FaultKind kind{};
  // Which requests; what is empty matches all. A hostile fault is only for those for its document.
  std::optional<Server> server{};
  std::string method{};
  std::string path{};
  std::string grant_type{};  ///< of a form POST: refresh_token, authorization_code
  unsigned skip = 0;         ///< so many matching requests go well first
  unsigned times = 1;        ///< then so many do not

  std::chrono::milliseconds delay{0};
  int status = 503;
  std::optional<std::chrono::seconds> retry_after{};
  /// Adds RateLimit-Limit, -Remaining (0) and -Reset (so long after now) to the answer, whatever
  /// the kind.
  std::optional<std::chrono::seconds> rate_limit_reset{};
  std::string text{};
  std::size_t size = 0;
};

/// A refresh that meets this fault.
[[nodiscard]] Fault refresh_fault(FaultKind kind);

/// Thread-safe. Faults are tried in the order in which they were added; a request meets at most
/// one.
class FaultScript {
 public:
  void add(Fault fault);
  void clear();
  /// Faults that have not happened yet, each with what is left of it.
  [[nodiscard]] std::vector<Fault> all() const;
  /// How many that are, repetitions counted.
  [[nodiscard]] std::size_t left() const;
  /// The fault that this request meets, used up by that.
  [[nodiscard]] std::optional<Fault> take(Server server, const Request& request);

 private:
  mutable std::mutex mutex_;
  std::list<Fault> faults_;
};

/// The delivery of a request to the server at `origin` that meets `fault`; `process` gives the
/// right answer and is called once or not at all. `ask_for_nonce` answers with a nonce that is not
/// good.
[[nodiscard]] Delivery deliver_with(const Fault& fault, std::string_view origin,
                                    const std::function<Response()>& process,
                                    const std::function<Response()>& ask_for_nonce);

}  // namespace latchkey::sandbox
