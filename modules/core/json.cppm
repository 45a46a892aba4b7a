// SPDX-License-Identifier: MIT
module;
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
export module latchkey.core.json;
import latchkey.core.error;
import latchkey.core.secret;

// Reading JSON objects that strangers wrote: metadata, token answers, DID documents. What two
// parsers could read differently is refused as a whole; members are asked for by name and type.
// Nothing here writes JSON but json_text() and json_quote().

export namespace latchkey {

enum class JsonKind { null, boolean, number, string, array, object };

struct JsonNode;

/// An object out of a parsed text. Copies share the parsed tree, whose strings are zeroed with the
/// last of them. Safe to read from several threads; take_secret() changes it for all copies.
///
/// Every error has the code given to parse() and a detail "<step>.…", and names the member, never
/// its value. A member that is `null` is there and has the wrong type.
class JsonObject {
 public:
  /// Refuses anything but one object of well-formed UTF-8: "<step>.not_json" (also for a depth over
  /// 32, text after it, a byte order mark and comments), and "<step>.duplicate_member" if any
  /// object in it names a member twice.
  [[nodiscard]] static Result<JsonObject> parse(std::string_view text, ErrorCode code,
                                                std::string_view step);

  [[nodiscard]] bool contains(std::string_view name) const noexcept;
  /// What the member is; empty if absent.
  [[nodiscard]] std::optional<JsonKind> kind(std::string_view name) const noexcept;
  /// All member names, in the order of the text.
  [[nodiscard]] std::vector<std::string> names() const;

  // Each getter: the value, nothing if the member is absent, or the error "<step>.wrong_type".

  [[nodiscard]] Result<std::optional<std::string>> string(std::string_view name) const;
  [[nodiscard]] Result<std::optional<bool>> boolean(std::string_view name) const;
  /// A number written as an integer that fits.
  [[nodiscard]] Result<std::optional<std::int64_t>> integer(std::string_view name) const;
  [[nodiscard]] Result<std::optional<double>> number(std::string_view name) const;
  [[nodiscard]] Result<std::optional<std::vector<std::string>>> strings(
      std::string_view name) const;
  [[nodiscard]] Result<std::optional<JsonObject>> object(std::string_view name) const;
  [[nodiscard]] Result<std::optional<std::vector<JsonObject>>> objects(std::string_view name) const;
  /// A string that must be there and not be empty. Errors: "<step>.missing_member",
  /// "<step>.wrong_type".
  [[nodiscard]] Result<std::string> required_string(std::string_view name) const;
  /// Moves a string out of the tree: what stays behind is an empty string.
  [[nodiscard]] Result<std::optional<SecretString>> take_secret(std::string_view name);
  /// Any value as compact JSON text, members in their order; nothing if absent.
  [[nodiscard]] std::optional<std::string> json_text(std::string_view name) const;

  /// The errors the getters give, for callers with further rules.
  [[nodiscard]] Error wrong_type(std::string_view name, std::string_view wanted) const;
  [[nodiscard]] Error missing(std::string_view name) const;

 private:
  JsonObject(std::shared_ptr<JsonNode> node, ErrorCode code,
             std::shared_ptr<const std::string> step);
  [[nodiscard]] JsonNode* find(std::string_view name) const noexcept;
  [[nodiscard]] JsonObject child(JsonNode& node) const;

  std::shared_ptr<JsonNode> node_;
  ErrorCode code_;
  std::shared_ptr<const std::string> step_;
};

/// `text` as a JSON string, quotes included. Invalid UTF-8 becomes U+FFFD.
[[nodiscard]] std::string json_quote(std::string_view text);

}  // namespace latchkey
