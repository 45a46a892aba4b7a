// SPDX-License-Identifier: MIT
export module latchkey.core;

export import latchkey.core.crypto;
export import latchkey.core.encoding;
export import latchkey.core.error;
export import latchkey.core.os;
export import latchkey.core.secret;
export import latchkey.core.time;
export import latchkey.core.url;
