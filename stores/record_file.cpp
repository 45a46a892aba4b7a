// SPDX-License-Identifier: MIT
module;
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
module latchkey.store.record_file;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.time;
import latchkey.session;
import latchkey.store;
import latchkey.store.record;

namespace latchkey {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = R"({"format":)";
constexpr std::string_view kSummary = R"(,"summary":)";
constexpr std::string_view kBox = R"(,"box":")";
constexpr std::string_view kEnd = "\"}\n";

Error corrupt(std::string_view detail, std::string why) {
  return make_error(ErrorCode::corrupt, detail,
                    "cannot read a stored file: " + std::move(why) +
                        "; restore it from a backup, or remove it and log in again");
}

// All files begin with their format, so that an older program knows a newer file by its first
// bytes.
std::optional<int> leading_format(std::string_view text) {
  if (!text.starts_with(kFormat)) return std::nullopt;
  text.remove_prefix(kFormat.size());
  int format = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), format);
  if (fault != std::errc() || format < 1 || end == text.data() + text.size()) return std::nullopt;
  return *end == ',' || *end == '}' ? std::optional(format) : std::nullopt;
}

Error too_new(std::string_view detail, int format) {
  return make_error(ErrorCode::schema_too_new, detail,
                    "cannot read a stored file: it has format " + std::to_string(format) +
                        ", and this program knows " + std::to_string(kFileStoreFormat) +
                        "; use the newer program that wrote it");
}

std::string hex64(std::uint64_t value) {
  std::array<unsigned char, 8> bytes{};
  for (std::size_t i = bytes.size(); i-- > 0; value >>= 8)
    bytes[i] = static_cast<unsigned char>(value);
  return hex_encode(bytes);
}

std::optional<std::uint64_t> read_hex64(std::string_view text) {
  const auto bytes = hex_decode(text);
  if (!bytes || bytes->size() != 8) return std::nullopt;
  std::uint64_t value = 0;
  for (const auto byte : *bytes) value = value << 8 | byte;
  return value;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + '\n';
}

std::optional<std::string> text_of(const Json& json, const char* name) {
  const auto found = json.find(name);
  if (found == json.end() || !found->is_string()) return std::nullopt;
  return found->get<std::string>();
}

Json parse(std::string_view text) {
  return Json::parse(text, nullptr, false);
}

std::optional<RefreshClaim> claim_from(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  auto subject = text_of(json, "subject"), host = text_of(json, "host");
  const auto revision = read_hex64(text_of(json, "revision").value_or(""));
  const auto id = read_hex64(text_of(json, "id").value_or(""));
  const auto at = parse_rfc3339(text_of(json, "at").value_or(""));
  const auto pid = json.find("pid");
  if (!subject || !host || !revision || !id || !at || pid == json.end()) return std::nullopt;
  if (!pid->is_number_integer()) return std::nullopt;
  return RefreshClaim{.subject = std::move(*subject),
                      .revision = {*revision},
                      .id = *id,
                      .at = *at,
                      .pid = pid->get<int>(),
                      .host = std::move(*host)};
}

std::optional<PendingRecord> pending_from(const Json& json) {
  if (!json.is_object()) return std::nullopt;
  auto key = text_of(json, "key");
  const auto expires_at = parse_rfc3339(text_of(json, "expires_at").value_or(""));
  const auto text = text_of(json, "box");
  if (!key || !expires_at || !text) return std::nullopt;
  auto box = base64url_decode(*text);
  if (!box || box->size() > kMaxBoxSize) return std::nullopt;
  return PendingRecord{.key = std::move(*key), .expires_at = *expires_at, .box = std::move(*box)};
}

}  // namespace

std::string encode_record_file(const SealedRecord& record) {
  const auto summary = summary_to_json(record.summary);
  const auto format = std::to_string(kFileStoreFormat);
  const auto box_size = base64url_size(record.box.size());
  std::string text;
  text.reserve(kFormat.size() + format.size() + kSummary.size() + summary.size() + kBox.size() +
               box_size + kEnd.size());
  text.append(kFormat).append(format).append(kSummary).append(summary).append(kBox);
  const auto position = text.size();
  text.resize(position + box_size);
  base64url_encode_to(record.box, text.data() + position);
  return text.append(kEnd);
}

Result<SealedRecord> decode_record_file(std::string_view text) {
  if (text.empty()) return corrupt("record.empty", "it is empty");
  const auto format = leading_format(text);
  if (!format) return corrupt("record.malformed", "it is not a session record");
  if (*format > kFileStoreFormat) return too_new("record.format", *format);
  text.remove_prefix(text.find_first_of(",}"));
  if (!text.starts_with(kSummary)) return corrupt("record.malformed", "it has no summary");
  text.remove_prefix(kSummary.size());
  if (!text.ends_with(kEnd)) return corrupt("record.truncated", "it has no end");
  text.remove_suffix(kEnd.size());
  // The box is the last member and its alphabet has no quotation mark: the last match is its start.
  const auto at = text.rfind(kBox);
  if (at == std::string_view::npos) return corrupt("record.malformed", "it has no box");
  auto box = base64url_decode(text.substr(at + kBox.size()));
  if (!box) return corrupt("record.malformed", "its box is not base64url");
  if (box->size() > kMaxBoxSize) return corrupt("record.too_large", "its box is too large");
  auto summary = summary_from_json(text.substr(0, at));
  if (!summary) return std::move(summary).error();
  return SealedRecord{std::move(*summary), std::move(*box)};
}

std::string encode_claim_file(const RefreshClaim& claim) {
  return dump({{"format", kFileStoreFormat},
               {"subject", claim.subject},
               {"revision", hex64(claim.revision.value)},
               {"id", hex64(claim.id)},
               {"at", format_rfc3339(claim.at)},
               {"pid", claim.pid},
               {"host", claim.host}});
}

// Claims and pending logins are small: that encoding the decoded value gives the same text again
// proves that nothing was there twice, too much, or in another form.
Result<RefreshClaim> decode_claim_file(std::string_view text) {
  const auto format = leading_format(text);
  if (format && *format > kFileStoreFormat) return too_new("claim.format", *format);
  auto claim = claim_from(parse(text));
  if (claim && encode_claim_file(*claim) == text) return std::move(*claim);
  return corrupt("claim.malformed", "it is not a refresh claim");
}

std::string encode_pending_file(const PendingRecord& pending) {
  return dump({{"format", kFileStoreFormat},
               {"key", pending.key},
               {"expires_at", format_rfc3339(pending.expires_at)},
               {"box", base64url_encode(pending.box)}});
}

Result<PendingRecord> decode_pending_file(std::string_view text) {
  const auto format = leading_format(text);
  if (format && *format > kFileStoreFormat) return too_new("pending.format", *format);
  auto pending = pending_from(parse(text));
  if (pending && encode_pending_file(*pending) == text) return std::move(*pending);
  return corrupt("pending.malformed", "it is not a pending login");
}

std::string encode_marker_file() {
  return dump({{"format", kFileStoreFormat}});
}

Result<void> check_marker_file(std::string_view text) {
  const auto format = leading_format(text);
  if (format && *format > kFileStoreFormat) return too_new("store.format", *format);
  if (text == encode_marker_file()) return {};
  return corrupt("store.marker", "the file that says the format of the folder does not");
}

}  // namespace latchkey
