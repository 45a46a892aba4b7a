// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
module latchkey.flows.device_identity;
import latchkey.core.crypto;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.files;
import latchkey.core.os.locks;
import latchkey.core.os.process;
import latchkey.core.time;
import latchkey.http;
import latchkey.session;

namespace latchkey {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t kIdBytes = 16;
constexpr std::size_t kMaxLabel = 128;
constexpr std::size_t kMaxFile = 256;
constexpr Duration kCreationWait = 10s;
constexpr std::string_view kFormatFamily = "latchkey.device.v";
constexpr std::string_view kVersion = "1";

std::filesystem::path identity_path(const std::filesystem::path& folder) {
  return folder / "device-identity";
}

bool is_label(std::string_view text) {
  return text.size() <= kMaxLabel && is_utf8(text) &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < 0x20 || c == 0x7f; });
}

Error malformed(const std::filesystem::path& path) {
  return make_error(ErrorCode::corrupt, "device_identity.malformed",
                    "cannot read the identity of this device in " + path.string() +
                        ": the file is damaged; restore it from a copy, or remove it to become a "
                        "new device");
}

Result<std::string> parse_identity(std::string_view text, const std::filesystem::path& path) {
  const auto space = text.find(' ');
  if (!text.starts_with(kFormatFamily) || space == std::string_view::npos ||
      !text.ends_with('\n')) {
    return malformed(path);
  }
  if (text.substr(kFormatFamily.size(), space - kFormatFamily.size()) != kVersion) {
    return make_error(ErrorCode::schema_too_new, "device_identity.version",
                      "cannot read the identity of this device in " + path.string() +
                          ": a newer latchkey wrote it; update this program");
  }
  text = text.substr(space + 1, text.size() - space - 2);
  const auto bytes = base64url_decode(text);
  if (!bytes || bytes->size() != kIdBytes) return malformed(path);
  return std::string(text);
}

// The id; empty if there is none yet.
Result<std::optional<std::string>> read_identity(FileSystem& files,
                                                 const std::filesystem::path& path) {
  if (auto fine = files.check_private(path); !fine) return std::move(fine).error();
  const auto bytes = files.read(path, kMaxFile);
  if (!bytes) return bytes.error();
  if (!*bytes) return std::optional<std::string>();
  auto id = parse_identity(as_text((*bytes)->expose()), path);
  if (!id) return std::move(id).error();
  return std::optional<std::string>(*std::move(id));
}

Result<void> fill_defaults(DeviceIdentityOptions& options) {
  if (!is_label(options.label)) {
    return make_error(ErrorCode::invalid_argument, "device_identity.label",
                      "cannot use this name for the device: it is over 128 bytes, not UTF-8, or "
                      "has control characters; choose another");
  }
  if (options.label.empty()) options.label = printable(host_name(), kMaxLabel);
  if (!options.files) options.files = posix_file_system();
  if (!options.clock) options.clock = std::make_shared<SystemClock>();
  if (!options.random) options.random = std::make_shared<SystemRandom>();
  return {};
}

// What is kept of a binding: whose, and which login's. A new login, or a new identity, is not
// bound.
std::string binding_text(std::string_view id, const OAuthSession& session) {
  std::array<unsigned char, 8> login{};
  for (std::size_t i = 0; i < login.size(); ++i)
    login[i] = static_cast<unsigned char>(session.login_id >> (8 * i));
  return "latchkey.device_binding.v1 " + std::string(id) + ' ' + hex_encode(login) + '\n';
}

bool means_bound(int status) {
  constexpr int kConflict = 409;  // it is there already
  return (status >= 200 && status <= 299) || status == kConflict;
}

}  // namespace

struct DeviceIdentity::State {
  std::filesystem::path folder;
  DeviceIdentityOptions options;
  std::shared_ptr<LockFile> locks;
  std::string id;

  Result<std::string> draw() const;
  [[nodiscard]] std::filesystem::path binding_path(std::string_view subject) const {
    return folder / "device-bindings" / hex_encode(sha256(subject));
  }
  [[nodiscard]] bool remembers(const std::filesystem::path& path, std::string_view text) const;
};

// With the lock, for somebody else may be doing the same.
Result<std::string> DeviceIdentity::State::draw() const {
  const auto lock = locks->acquire(LockKind::whole, "",
                                   {.deadline = options.clock->steady_now() + kCreationWait});
  if (!lock) return lock.error();
  auto found = read_identity(*options.files, identity_path(folder));
  if (!found) return std::move(found).error();
  if (*found) return **std::move(found);
  std::string drawn = random_token(*options.random, kIdBytes);
  std::string text(kFormatFamily);
  text.append(kVersion).append(" ").append(drawn).append("\n");
  auto kept = replace_file(options.files, identity_path(folder), as_bytes(text));
  if (!kept) return std::move(kept).error();
  return drawn;
}

// What can't be read is written anew: binding once more does no harm.
bool DeviceIdentity::State::remembers(const std::filesystem::path& path,
                                      std::string_view text) const {
  const auto bytes = options.files->read(path, kMaxFile);
  return bytes && *bytes && as_text((*bytes)->expose()) == text;
}

DeviceIdentity::DeviceIdentity(std::shared_ptr<const State> state) : state_(std::move(state)) {}

Result<DeviceIdentity> DeviceIdentity::open(const std::filesystem::path& folder,
                                            DeviceIdentityOptions options) {
  if (auto filled = fill_defaults(options); !filled) return std::move(filled).error();
  if (auto made = options.files->make_folder(folder); !made) return std::move(made).error();
  if (auto fine = options.files->check_private(folder); !fine) return std::move(fine).error();
  auto locks = LockFile::open(folder / "device-identity.lock", options.clock);
  if (!locks) return std::move(locks).error();
  auto found = read_identity(*options.files, identity_path(folder));
  if (!found) return std::move(found).error();
  State state{.folder = folder,
              .options = std::move(options),
              .locks = *std::move(locks),
              .id = (*std::move(found)).value_or("")};
  if (state.id.empty()) {
    auto drawn = state.draw();
    if (!drawn) return std::move(drawn).error();
    state.id = *std::move(drawn);
  }
  return DeviceIdentity(std::make_shared<const State>(std::move(state)));
}

const std::string& DeviceIdentity::id() const noexcept {
  return state_->id;
}

const std::string& DeviceIdentity::label() const noexcept {
  return state_->options.label;
}

FormFields DeviceIdentity::fields(const DeviceFieldNames& names) const {
  FormFields fields;
  if (!names.id.empty()) fields.emplace_back(names.id, id());
  if (!names.label.empty()) fields.emplace_back(names.label, label());
  return fields;
}

Result<BindOutcome> DeviceIdentity::bind(const OAuthSession& session, const Binder& binder,
                                         const BindOptions& options) const {
  const auto path = state_->binding_path(session.subject);
  const std::string text = binding_text(id(), session);
  const auto deadline = state_->options.clock->steady_now() + options.timeout;
  const auto lock = state_->locks->acquire(LockKind::lease, session.subject,
                                           {.deadline = deadline, .stop = options.stop});
  if (!lock) return lock.error();
  if (state_->remembers(path, text)) return BindOutcome::bound_before;
  const auto answer = binder(session, *this, options.stop);
  if (!answer) return answer.error();
  if (!means_bound(answer->status)) {
    Error error = make_error(ErrorCode::resource_error, "device_identity.bind_refused",
                             "the session of " + printable(session.subject, 100) +
                                 " is there, but could not be tied to this device: the server "
                                 "answered HTTP " +
                                 std::to_string(answer->status) + "; it is tried again later");
    error.http_status = answer->status;
    error.retry_after = retry_after(*answer, state_->options.clock->now());
    return error;
  }
  if (auto made = state_->options.files->make_folder(path.parent_path()); !made)
    return std::move(made).error();
  if (auto kept = replace_file(state_->options.files, path, as_bytes(text)); !kept)
    return std::move(kept).error();
  return answer->status <= 299 ? BindOutcome::bound : BindOutcome::bound_before;
}

}  // namespace latchkey
