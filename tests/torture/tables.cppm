// SPDX-License-Identifier: MIT
export module latchkey.test.torture_tables;
import latchkey.test.torture_inspection;
import latchkey.test.torture_place;

// What is looked at in a database after a run, when no process uses it any more.

export namespace latchkey::test {

/// Leases that have not run out, sessions without a key, and, after a sweep two days from now, rows
/// that belong to no session.
void inspect_tables(const Site& site, Findings& findings);

}  // namespace latchkey::test
