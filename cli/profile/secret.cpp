// SPDX-License-Identifier: MIT
module;
#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
module latchkey.cli.profile.secret;
import latchkey.cli.input;
import latchkey.cli.profile;
import latchkey.core.encoding;
import latchkey.core.error;
import latchkey.core.os.command;
import latchkey.core.os.files;
import latchkey.core.secret;

namespace latchkey::cli {
namespace {

constexpr std::size_t kMaxSecret = 8192;

// RFC 6749 §A.2: VSCHAR, and spaces that are not at an end, where nobody sees them.
bool is_secret_text(std::span<const unsigned char> text) {
  return text.front() != ' ' && text.back() != ' ' &&
         std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c >= 0x20 && c < 0x7f; });
}

// What a header can carry. Anything else is a wrong file, not a secret.
Result<SecretString> one_line(SecretBytes bytes, const std::string& where) {
  std::size_t size = bytes.size();
  if (size > 0 && bytes.expose()[size - 1] == '\n') --size;
  if (size > 0 && bytes.expose()[size - 1] == '\r') --size;
  if (size == 0) {
    return make_error(ErrorCode::invalid_argument, "secret.empty",
                      "cannot read a secret from " + where + ": there is nothing in it");
  }
  bytes.truncate(size);
  if (size <= kMaxSecret && is_secret_text(bytes.expose())) return SecretString(std::move(bytes));
  return make_error(ErrorCode::invalid_argument, "secret.malformed",
                    "cannot read a secret from " + where +
                        ": it must be one line of at most 8192 ASCII characters without "
                        "spaces around it, and nothing else");
}

}  // namespace

Result<SecretString> read_secret_file(const std::string& path, std::stop_token stop) {
  if (path == "-") {
    auto text = read_secret(kMaxSecret + 2, std::move(stop));
    if (!text) return std::move(text).error();
    return one_line(*std::move(text), "standard input");
  }
  const std::string where = printable(path, 300);
  const auto files = posix_file_system();
  if (auto checked = files->check_private(path); !checked) return std::move(checked).error();
  auto bytes = files->read(path, kMaxSecret + 2);
  if (!bytes) return std::move(bytes).error();
  if (*bytes) return one_line(**std::move(bytes), where);
  return make_error(ErrorCode::invalid_argument, "secret.no_file",
                    "cannot read a secret from " + where + ": there is no such file");
}

Result<SecretString> read_client_secret(const SecretSource& source, std::stop_token stop) {
  if (!source.file.empty()) return read_secret_file(source.file, std::move(stop));
  auto output = run_command(source.command, {.max_output = kMaxSecret + 2});
  if (!output) return std::move(output).error();
  if (output->status == 0)
    return one_line(std::move(output->out),
                    "what " + printable(source.command[0], 200) + " prints");
  return make_error(ErrorCode::io, "secret.command",
                    "cannot read the client secret: " + printable(source.command[0], 200) +
                        " ended with status " + std::to_string(output->status) +
                        "; run it by itself to see why");
}

}  // namespace latchkey::cli
