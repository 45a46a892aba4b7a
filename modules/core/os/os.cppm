// SPDX-License-Identifier: MIT
export module latchkey.core.os;

export import latchkey.core.os.command;
export import latchkey.core.os.files;
export import latchkey.core.os.locks;
export import latchkey.core.os.process;
