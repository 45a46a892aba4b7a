// SPDX-License-Identifier: MIT
export module latchkey.dpop;

export import latchkey.dpop.guard;
export import latchkey.dpop.jwk;
export import latchkey.dpop.nonce;
export import latchkey.dpop.nonce_issuer;
export import latchkey.dpop.p256;
export import latchkey.dpop.prover;
export import latchkey.dpop.replay;
export import latchkey.dpop.transport;
export import latchkey.dpop.verifier;
