// SPDX-License-Identifier: MIT
module;
#include <sodium.h>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>
module latchkey.core.json;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.secret;

namespace latchkey {

// Our own tree instead of nlohmann's: strings are zeroed when they go, and members keep their
// order.
struct JsonNode {
  struct Member;
  using Array = std::vector<JsonNode>;
  using Members = std::vector<Member>;
  std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, SecretString, Array,
               Members>
      value;
};

struct JsonNode::Member {
  std::string name;
  JsonNode node;
};

namespace {

constexpr std::size_t kMaxDepth = 32;

enum class Fault { none, malformed, too_deep, duplicate };

// Receives nlohmann's parse events and builds the tree. `open_` is the path to the container being
// filled; its nodes stay where they are, because a container grows only while it is the innermost
// one.
class Builder final : public nlohmann::json_sax<nlohmann::json> {
 public:
  bool null() override { return put({}); }
  bool boolean(bool value) override { return put({value}); }
  bool number_integer(number_integer_t value) override { return put({std::int64_t{value}}); }
  bool number_unsigned(number_unsigned_t value) override { return put({std::uint64_t{value}}); }
  bool number_float(number_float_t value, const string_t&) override { return put({double{value}}); }
  bool binary(binary_t&) override { return fail(Fault::malformed); }
  bool string(string_t& value) override {
    SecretString copy{std::string_view(value)};
    // This is the lexer's own buffer, which it fills anew for the next token.
    sodium_memzero(value.data(), value.size());
    return put({std::move(copy)});
  }
  bool start_object(std::size_t) override { return open({JsonNode::Members{}}); }
  bool start_array(std::size_t) override { return open({JsonNode::Array{}}); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!names_.back().insert(name).second) {
      duplicate_ = name;
      return fail(Fault::duplicate);
    }
    name_ = name;
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return fault_ != Fault::none || fail(Fault::malformed);
  }

  [[nodiscard]] Fault fault() const noexcept { return fault_; }
  [[nodiscard]] const std::string& duplicate() const noexcept { return duplicate_; }
  [[nodiscard]] JsonNode take_root() { return std::move(root_); }

 private:
  JsonNode* add(JsonNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return &root_;
    }
    auto& parent = open_.back()->value;
    if (auto* array = std::get_if<JsonNode::Array>(&parent))
      return &array->emplace_back(std::move(node));
    auto& members = *std::get_if<JsonNode::Members>(&parent);
    return &members.emplace_back(JsonNode::Member{std::move(name_), std::move(node)}).node;
  }
  bool put(JsonNode node) { return add(std::move(node)) != nullptr; }
  bool open(JsonNode node) {
    if (open_.size() == kMaxDepth) return fail(Fault::too_deep);
    open_.push_back(add(std::move(node)));
    names_.emplace_back();
    return true;
  }
  bool close() {
    open_.pop_back();
    names_.pop_back();
    return true;
  }
  bool fail(Fault fault) {
    fault_ = fault;
    return false;
  }

  JsonNode root_;
  std::vector<JsonNode*> open_;
  std::vector<std::set<std::string>> names_;
  std::string name_;
  std::string duplicate_;
  Fault fault_ = Fault::none;
};

void write_string(std::string_view text, std::string& out) {
  out += nlohmann::json(text).dump();
}

void write(const JsonNode& node, std::string& out);

struct Writer {
  std::string& out;
  void operator()(std::monostate) const { out += "null"; }
  void operator()(bool value) const { out += value ? "true" : "false"; }
  void operator()(std::int64_t value) const { out += std::to_string(value); }
  void operator()(std::uint64_t value) const { out += std::to_string(value); }
  void operator()(double value) const { out += nlohmann::json(value).dump(); }
  void operator()(const SecretString& value) const { write_string(value.expose(), out); }
  void operator()(const JsonNode::Array& values) const {
    out += '[';
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i != 0) out += ',';
      write(values[i], out);
    }
    out += ']';
  }
  void operator()(const JsonNode::Members& members) const {
    out += '{';
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (i != 0) out += ',';
      write_string(members[i].name, out);
      out += ':';
      write(members[i].node, out);
    }
    out += '}';
  }
};

void write(const JsonNode& node, std::string& out) {
  std::visit(Writer{out}, node.value);
}

struct KindOf {
  JsonKind operator()(std::monostate) const { return JsonKind::null; }
  JsonKind operator()(bool) const { return JsonKind::boolean; }
  JsonKind operator()(std::int64_t) const { return JsonKind::number; }
  JsonKind operator()(std::uint64_t) const { return JsonKind::number; }
  JsonKind operator()(double) const { return JsonKind::number; }
  JsonKind operator()(const SecretString&) const { return JsonKind::string; }
  JsonKind operator()(const JsonNode::Array&) const { return JsonKind::array; }
  JsonKind operator()(const JsonNode::Members&) const { return JsonKind::object; }
};

Error json_error(ErrorCode code, std::string_view step, std::string_view fact,
                 const std::string& why) {
  return make_error(code, std::string(step) + '.' + std::string(fact),
                    "cannot read the JSON of " + std::string(step) + ": " + why);
}

Error fault_error(ErrorCode code, std::string_view step, const Builder& builder) {
  if (builder.fault() == Fault::duplicate) {
    return json_error(
        code, step, "duplicate_member",
        "the member \"" + printable(builder.duplicate(), 64) + "\" occurs twice in one object");
  }
  return json_error(code, step, "not_json",
                    builder.fault() == Fault::too_deep ? "it is nested deeper than 32 levels"
                                                       : "it is not well-formed JSON");
}

}  // namespace

JsonObject::JsonObject(std::shared_ptr<JsonNode> node, ErrorCode code,
                       std::shared_ptr<const std::string> step)
    : node_(std::move(node)), code_(code), step_(std::move(step)) {}

Result<JsonObject> JsonObject::parse(std::string_view text, ErrorCode code,
                                     std::string_view step) try {
  // nlohmann takes a NUL for the end of the text and skips a byte order mark.
  if (text.find('\0') != std::string_view::npos || text.starts_with("\xEF\xBB\xBF")) {
    return json_error(code, step, "not_json", "it has a NUL character or a byte order mark");
  }
  Builder builder;
  if (!nlohmann::json::sax_parse(text.begin(), text.end(), &builder))
    return fault_error(code, step, builder);
  auto root = std::make_shared<JsonNode>(builder.take_root());
  if (!std::holds_alternative<JsonNode::Members>(root->value)) {
    return json_error(code, step, "not_json", "it is not an object");
  }
  return JsonObject(std::move(root), code, std::make_shared<const std::string>(step));
} catch (const nlohmann::json::exception&) {
  return json_error(code, step, "not_json", "it is not well-formed JSON");
}

JsonNode* JsonObject::find(std::string_view name) const noexcept {
  for (auto& member : *std::get_if<JsonNode::Members>(&node_->value)) {
    if (member.name == name) return &member.node;
  }
  return nullptr;
}

JsonObject JsonObject::child(JsonNode& node) const {
  return {std::shared_ptr<JsonNode>(node_, &node), code_, step_};
}

Error JsonObject::wrong_type(std::string_view name, std::string_view wanted) const {
  return json_error(code_, *step_, "wrong_type",
                    "the member \"" + printable(name, 64) + "\" is not " + std::string(wanted));
}

Error JsonObject::missing(std::string_view name) const {
  return json_error(code_, *step_, "missing_member",
                    "the member \"" + printable(name, 64) + "\" is missing or empty");
}

bool JsonObject::contains(std::string_view name) const noexcept {
  return find(name) != nullptr;
}

std::optional<JsonKind> JsonObject::kind(std::string_view name) const noexcept {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  return std::visit(KindOf{}, node->value);
}

std::vector<std::string> JsonObject::names() const {
  std::vector<std::string> out;
  for (const auto& member : *std::get_if<JsonNode::Members>(&node_->value))
    out.push_back(member.name);
  return out;
}

Result<std::optional<std::string>> JsonObject::string(std::string_view name) const {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  const auto* text = std::get_if<SecretString>(&node->value);
  if (text == nullptr) return wrong_type(name, "a string");
  return std::optional(std::string(text->expose()));
}

Result<std::optional<bool>> JsonObject::boolean(std::string_view name) const {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  const auto* value = std::get_if<bool>(&node->value);
  if (value == nullptr) return wrong_type(name, "true or false");
  return std::optional(*value);
}

Result<std::optional<std::int64_t>> JsonObject::integer(std::string_view name) const {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<std::int64_t>(&node->value)) return std::optional(*value);
  constexpr auto max = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (const auto* value = std::get_if<std::uint64_t>(&node->value);
      value != nullptr && *value <= max) {
    return std::optional(static_cast<std::int64_t>(*value));
  }
  return wrong_type(name, "an integer of 64 bits");
}

Result<std::optional<double>> JsonObject::number(std::string_view name) const {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  if (const auto* real = std::get_if<double>(&node->value)) return std::optional(*real);
  if (const auto* value = std::get_if<std::int64_t>(&node->value))
    return std::optional(static_cast<double>(*value));
  if (const auto* value = std::get_if<std::uint64_t>(&node->value))
    return std::optional(static_cast<double>(*value));
  return wrong_type(name, "a number");
}

Result<std::optional<std::vector<std::string>>> JsonObject::strings(std::string_view name) const {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  const auto* array = std::get_if<JsonNode::Array>(&node->value);
  if (array == nullptr) return wrong_type(name, "an array of strings");
  std::vector<std::string> out;
  out.reserve(array->size());
  for (const auto& element : *array) {
    const auto* text = std::get_if<SecretString>(&element.value);
    if (text == nullptr) return wrong_type(name, "an array of strings");
    out.emplace_back(text->expose());
  }
  return std::optional(std::move(out));
}

Result<std::optional<JsonObject>> JsonObject::object(std::string_view name) const {
  auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  if (!std::holds_alternative<JsonNode::Members>(node->value)) return wrong_type(name, "an object");
  return std::optional(child(*node));
}

Result<std::optional<std::vector<JsonObject>>> JsonObject::objects(std::string_view name) const {
  auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  auto* array = std::get_if<JsonNode::Array>(&node->value);
  if (array == nullptr) return wrong_type(name, "an array of objects");
  std::vector<JsonObject> out;
  out.reserve(array->size());
  for (auto& element : *array) {
    if (!std::holds_alternative<JsonNode::Members>(element.value))
      return wrong_type(name, "an array of objects");
    out.push_back(child(element));
  }
  return std::optional(std::move(out));
}

Result<std::string> JsonObject::required_string(std::string_view name) const {
  auto text = string(name);
  if (!text) return std::move(text).error();
  if (!*text || (*text)->empty()) return missing(name);
  return std::move(**text);
}

Result<std::optional<SecretString>> JsonObject::take_secret(std::string_view name) {
  auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  auto* text = std::get_if<SecretString>(&node->value);
  if (text == nullptr) return wrong_type(name, "a string");
  return std::optional(std::move(*text));
}

std::optional<std::string> JsonObject::json_text(std::string_view name) const {
  const auto* node = find(name);
  if (node == nullptr) return std::nullopt;
  std::string out;
  write(*node, out);
  return out;
}

std::string json_quote(std::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace latchkey
