// SPDX-License-Identifier: MIT
module;
#include <spawn.h>
#include <sys/types.h>
#include <array>
#include <string>
#include <vector>
export module latchkey.core.os.spawn;
import latchkey.core.error;

// How programs are started here: posix_spawn, without a shell, with no descriptor, signal mask or
// signal handling of ours. For latchkey.core.os.process and latchkey.core.os.command.

export namespace latchkey {

/// Error: io, "process.not_started": there is no name, or a word holds NUL.
[[nodiscard]] Result<void> check_words(const std::vector<std::string>& words);
/// The error "process.not_started" for a number that spawn() gave.
[[nodiscard]] Error start_error(const std::string& program, int error);

/// One start. Standard input, output and error are /dev/null unless use() says otherwise;
/// everything else is closed.
class Spawn {
 public:
  enum class Group {
    session,  ///< a session of its own: Ctrl-C in our terminal does not reach it
    process,  ///< a process group of its own, in our session: it can be ended with all it starts
  };
  explicit Spawn(Group group);
  Spawn(const Spawn&) = delete;
  Spawn& operator=(const Spawn&) = delete;
  ~Spawn();

  /// Our descriptor `from` becomes its descriptor `as` (0 to 2); may be the same one.
  void use(int from, int as);
  /// May be called once. Looks `words[0]` up in PATH. The error number; 0 if `child` runs.
  [[nodiscard]] int run(std::vector<std::string> words, pid_t& child);

 private:
  void note(int error);
  posix_spawn_file_actions_t actions_{};
  posix_spawnattr_t attributes_{};
  std::array<bool, 3> used_{};
  int error_ = 0;
};

/// The exit status as a shell gives it: 128 + n when signal n ended the program.
[[nodiscard]] int exit_status_of(int wait_status) noexcept;

}  // namespace latchkey
