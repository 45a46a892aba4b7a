// SPDX-License-Identifier: MIT
module;
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
export module latchkey.sandbox.faults;
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
  status,        ///< not processed; answered with `status`, and Retry-After if set
  status_after,  ///< processed, and answered with `status` all the same
  content_type,  ///< processed, and the answer says that it is `text`
  huge_body,     ///< processed, and the body is made `size` bytes long
  garbage,       ///< processed, and the body is `text`
  redirect,      ///< not processed; 307 to `text`
  nonce_storm,   ///< not processed; a nonce is asked for, and the one given will not be good
};
[[nodiscard]] std::string_view to_string(FaultKind kind) noexcept;

struct Fault {
  FaultKind kind{};
  // Which requests; what is empty matches all.
  std::optional<Server> server{};
  std::string method{};
  std::string path{};
  std::string grant_type{};  ///< of a form POST: refresh_token, authorization_code
  unsigned skip = 0;         ///< so many matching requests go well first
  unsigned times = 1;        ///< then so many do not

  std::chrono::milliseconds delay{0};
  int status = 503;
  std::optional<std::chrono::seconds> retry_after{};
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
  /// Faults that have not happened yet, repetitions counted.
  [[nodiscard]] std::size_t left() const;
  /// The fault that this request meets, used up by that.
  [[nodiscard]] std::optional<Fault> take(Server server, const Request& request);

 private:
  mutable std::mutex mutex_;
  std::list<Fault> faults_;
};

/// The delivery of a request that meets `fault`; `process` gives the right answer and is called
/// once or not at all. `ask_for_nonce` answers with a nonce that is not good.
[[nodiscard]] Delivery deliver_with(const Fault& fault, const std::function<Response()>& process,
                                    const std::function<Response()>& ask_for_nonce);

}  // namespace latchkey::sandbox
