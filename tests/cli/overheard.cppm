// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <vector>
export module latchkey.test.overheard;
import latchkey.core;
import latchkey.http;
import latchkey.http.trace;
import latchkey.test.random;

// Everything that goes over the wire and could be a secret, and a trace of the same exchanges, to
// be searched for it.

export namespace latchkey::test {

/// Transports that are wrapped here are listened to, and traced. Thread-safe.
class Overheard {
 public:
  explicit Overheard(std::shared_ptr<Clock> clock);
  Overheard(const Overheard&) = delete;
  Overheard& operator=(const Overheard&) = delete;
  ~Overheard();

  [[nodiscard]] std::shared_ptr<Tracer> tracer() const { return tracer_; }
  /// Listens; tracing is the client's business.
  [[nodiscard]] std::shared_ptr<HttpTransport> listen_to(std::shared_ptr<HttpTransport> transport);
  /// Listens and traces.
  [[nodiscard]] std::shared_ptr<HttpTransport> around(std::shared_ptr<HttpTransport> transport);

  /// The lines so far.
  [[nodiscard]] std::string trace() const;
  /// Whatever passed in queries, headers and bodies and looks drawn at random: 14 characters or
  /// more, two of them digits. Without what stands in addresses' hosts.
  [[nodiscard]] std::vector<std::string> secrets() const;
  /// Those of them that stand in `text`, in any case of letters.
  [[nodiscard]] std::vector<std::string> leaked_in(std::string_view text) const;

 private:
  class Ear;
  void hear(std::string_view text);
  mutable std::mutex mutex_;
  std::set<std::string> heard_;
  std::string lines_;
  FixedRandom random_{7};
  std::shared_ptr<Tracer> tracer_;
};

}  // namespace latchkey::test
