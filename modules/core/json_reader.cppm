// SPDX-License-Identifier: MIT
module;
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.core.json_reader;
import latchkey.core.error;
import latchkey.core.json;

// Reading many members of one object: the variables are filled, and the caller asks once, at the
// end, what went wrong first.

export namespace latchkey {

/// Fills variables from the members of an object, and keeps the first error. What is absent leaves
/// its variable as it was.
class JsonReader {
 public:
  explicit JsonReader(JsonObject object) : object_(std::move(object)) {}

  void text(std::string_view name, std::string& to) { take(object_.string(name), to); }
  void list(std::string_view name, std::vector<std::string>& to) {
    take(object_.strings(name), to);
  }
  void flag(std::string_view name, std::optional<bool>& to) {
    if (auto value = keep(object_.boolean(name)); value && *value) to = *value;
  }
  /// As JsonObject::required_string.
  void required(std::string_view name, std::string& to) {
    if (auto value = keep(object_.required_string(name))) to = std::move(*value);
  }
  /// What one of the object's getters gave.
  template <class T>
  void take(Result<std::optional<T>> value, T& to) {
    if (auto kept = keep(std::move(value)); kept && *kept) to = std::move(**kept);
  }
  /// The value, or nothing, and the error is kept.
  template <class T>
  [[nodiscard]] std::optional<T> keep(Result<T> value) {
    if (value) return std::move(*value);
    fail(std::move(value).error());
    return std::nullopt;
  }
  /// An error that the caller found.
  void fail(Error error) {
    if (!error_) error_ = std::move(error);
  }

  [[nodiscard]] const JsonObject& object() const noexcept { return object_; }
  [[nodiscard]] const std::optional<Error>& error() const noexcept { return error_; }

 private:
  JsonObject object_;
  std::optional<Error> error_;
};

}  // namespace latchkey
