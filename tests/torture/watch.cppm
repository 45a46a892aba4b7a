// SPDX-License-Identifier: MIT
module;
#include <memory>
#include <string>
#include <vector>
export module latchkey.test.torture_watch;
import latchkey.http;
import latchkey.store;
import latchkey.test.torture_scoreboard;

// Decorators that write on the scoreboard how far each refresh has got, as the keeper sees it: they
// go around everything else. Before the check of a lease and with an answer in hand they stop the
// process, if the scoreboard orders it.

export namespace latchkey::test {

/// `subjects`: their positions are the numbers on the board.
[[nodiscard]] std::shared_ptr<OAuthTokenStore> watched_store(std::shared_ptr<OAuthTokenStore> inner,
                                                             std::shared_ptr<Scoreboard> board,
                                                             std::vector<std::string> subjects);
/// To be used by the threads that use a watched store: a refresh stays on one thread from its claim
/// to its save.
[[nodiscard]] std::shared_ptr<HttpTransport> watched_transport(
    std::shared_ptr<HttpTransport> inner);

}  // namespace latchkey::test
