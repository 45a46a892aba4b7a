// SPDX-License-Identifier: MIT
module;
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>
module latchkey.test.programs;
import latchkey.test.folder;

namespace latchkey::test {

Variable::Variable(std::string name, const std::string& value) : name_(std::move(name)) {
  if (const char* before = std::getenv(name_.c_str())) before_ = before;
  if (value.empty()) {
    ::unsetenv(name_.c_str());
  } else {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
}

Variable::~Variable() {
  if (before_) {
    ::setenv(name_.c_str(), before_->c_str(), 1);
  } else {
    ::unsetenv(name_.c_str());
  }
}

void Programs::add(const std::string& name, const std::string& script) const {
  const auto path = folder_.path() / name;
  write_text(path, "#!/bin/sh\n{ printf '" + name +
                       "'; for word; do printf ' [%s]' \"$word\"; done; printf '\\n'; } >> '" +
                       log().string() + "'\n" + script + "\n");
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

void Programs::add(const std::string& name, int exit_status) const {
  add(name, "exit " + std::to_string(exit_status));
}

std::string Programs::calls() const {
  return read_text(log()).value_or("");
}

}  // namespace latchkey::test
