// SPDX-License-Identifier: MIT
export module latchkey.test.support;

export import latchkey.test.child;
export import latchkey.test.disk;
export import latchkey.test.faults;
export import latchkey.test.folder;
export import latchkey.test.outcome;
export import latchkey.test.random;
