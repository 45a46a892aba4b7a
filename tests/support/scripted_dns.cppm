// SPDX-License-Identifier: MIT
module;
#include <functional>
#include <mutex>
#include <string>
#include <utility>
#include <vector>
export module latchkey.test.scripted_dns;
import latchkey.core.error;
import latchkey.http.dns;

// DNS that answers as a test tells it to, and remembers what it was asked.

export namespace latchkey::test {

using TxtAnswer = Result<std::vector<std::string>>;

/// Thread-safe, if the handler is.
class ScriptedDns final : public DnsResolver {
 public:
  using Handler = std::function<TxtAnswer(const std::string& name, const DnsOptions& options)>;
  explicit ScriptedDns(Handler handler) : handler_(std::move(handler)) {}

  [[nodiscard]] TxtAnswer txt(const std::string& name, const DnsOptions& options) override {
    {
      const std::scoped_lock lock(mutex_);
      names_.push_back(name);
      options_.push_back(options);
    }
    return handler_(name, options);
  }

  [[nodiscard]] std::vector<std::string> names() const {
    const std::scoped_lock lock(mutex_);
    return names_;
  }
  [[nodiscard]] std::vector<DnsOptions> options() const {
    const std::scoped_lock lock(mutex_);
    return options_;
  }

 private:
  mutable std::mutex mutex_;
  Handler handler_;
  std::vector<std::string> names_;
  std::vector<DnsOptions> options_;
};

}  // namespace latchkey::test
