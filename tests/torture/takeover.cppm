// SPDX-License-Identifier: MIT
module;
#include <span>
export module latchkey.test.torture_takeover;
import latchkey.core.time;
import latchkey.test.torture_notes;

// Judges a token that two refreshes have sent, over a store whose leases expire. Pure.
//
// Such a lease can be lost by somebody who is alive, and who stands still or does not reach the
// database. To the others he is then as if he had been killed. What the protocol still promises:
//
//  1. Who takes over waits until the claim that it finds is five seconds old: the two claims are at
//     least so far apart.
//  2. Nobody's lease is lost for nothing: somebody stood still between the first one's check (which
//     renews its lease) and the second one's claim, for at least half of the lease's time. (A lease
//     that is renewed at every third of its time needs a stop of two thirds. On a busy machine
//     renewals come late.)
//  3. Nobody sends without a check, nor after a check that came after the other's save: the check
//     sees the lease and the revision.
//
// Two requests with one token that break any of these are our own fault, whatever else has happened
// to those who sent them: LOST. If none is broken, the session could not be saved by anybody:
//
//  * The first sent and consumed the token, and had not saved the answer when the second sent it
//    again: it was stopped while posting or saving (paused_posting, paused_saving), or the database
//    was (unreachable). Who reaches the database again tries to save, every two seconds: if there
//    was the time of a claim for that before the second's claim, it is LOST.
//  * The first was stopped after its check and before its request, and sent what the second had
//    spent meanwhile; or the first's save came after the second's check and before its request took
//    effect. That is the gap between a check and a request, which no fence can close (check_gap).

export namespace latchkey::test {

struct ExpiringLease {
  Duration time{};       ///< how long it is good without being renewed
  Duration claim_age{};  ///< how long a found claim is left alone
};

/// `consumer`: whose request spent the token, and whose answer was delivered, and who was not
/// killed over it. `replayer`: who sent it again. Either may be null: nothing was noted of it.
[[nodiscard]] Death judge_takeover(const RefreshNote* consumer, const RefreshNote* replayer,
                                   std::span<const Stop> stops, const ExpiringLease& lease);

}  // namespace latchkey::test
