#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Opens the golden files by docs/formats.md alone: a second implementation, from BLAKE2b upwards, of what
latchkey.store.vault writes. Usage: read_formats.py FOLDER"""
import hashlib
import pathlib
import struct
import sys

CONSTANTS = struct.unpack("<4I", b"expand 32-byte k")
MASK = 0xFFFFFFFF


def quarter_round(s, a, b, c, d):
    for x, y, z, shift in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        s[x] = (s[x] + s[y]) & MASK
        s[z] ^= s[x]
        s[z] = (s[z] << shift | s[z] >> (32 - shift)) & MASK


def permute(state):
    for _ in range(10):
        for i in range(4):
            quarter_round(state, i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter_round(state, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)


def chacha20_block(key, counter, nonce):
    start = [*CONSTANTS, *struct.unpack("<8I", key), counter, *struct.unpack("<3I", nonce)]
    state = list(start)
    permute(state)
    return struct.pack("<16I", *((a + b) & MASK for a, b in zip(start, state)))


def hchacha20(key, nonce):
    state = [*CONSTANTS, *struct.unpack("<8I", key), *struct.unpack("<4I", nonce)]
    permute(state)
    return struct.pack("<8I", *state[:4], *state[12:])


def poly1305(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for i in range(0, len(message), 16):
        total = (total + int.from_bytes(message[i : i + 16] + b"\1", "little")) * r % ((1 << 130) - 5)
    return ((total + int.from_bytes(key[16:], "little")) % (1 << 128)).to_bytes(16, "little")


def pad(data):
    return data + bytes(-len(data) % 16)


def aead_open(key, sealed, associated):
    nonce, text, tag = sealed[:24], sealed[24:-16], sealed[-16:]
    key, nonce = hchacha20(key, nonce[:16]), bytes(4) + nonce[16:]
    lengths = struct.pack("<QQ", len(associated), len(text))
    expected = poly1305(chacha20_block(key, 0, nonce)[:32], pad(associated) + pad(text) + lengths)
    assert tag == expected, "the tag does not match"
    stream = b"".join(chacha20_block(key, 1 + i, nonce) for i in range(len(text) // 64 + 1))
    return bytes(a ^ b for a, b in zip(text, stream))


def subkey(key, context, size=32):
    return hashlib.blake2b(context, key=key, digest_size=size).digest()


def data_key_of(header, master_key, kind=1, named=bytes(16)):
    assert header[:17] == b"latchkey-vault\n\1" + bytes([kind]) and header[17:49] == bytes(16) + named
    assert header[49:65] == subkey(master_key, b"latchkey.vault.check.v1", 16)
    assert header[65] == 1 and len(header) == 66 + 72 + 32
    assert header[-32:] == subkey(subkey(master_key, b"latchkey.vault.header.v1"), header[:-32])
    context = b"latchkey.vault.wrap.v1"
    return aead_open(subkey(master_key, context), header[66:138], context + header[:66] + b"\0")


def open_box(box, data_key, purpose, context):
    assert box[0] == 1 and box[1:9] == subkey(data_key, b"latchkey.vault.keyid.v1")[:8]
    return aead_open(subkey(data_key, purpose), box[9:], b"latchkey.box.v1" + box[:33] + context)


def main(folder):
    def golden(name):
        return bytes.fromhex((pathlib.Path(folder) / f"{name}_v1.hex").read_text().replace("\n", ""))

    data_key = data_key_of(golden("vault_header_key_file"), golden("vault_key_file"))
    key_file = golden("vault_sealed_key")
    before_box = b"latchkey-key\n\1\x09golden-ID"
    assert key_file.startswith(before_box)
    box = key_file[len(before_box) :]
    assert open_box(box, data_key, b"latchkey.vault.keys.v1", before_box) == b"the golden key"
    tokens = open_box(golden("session_box"), data_key, b"latchkey.vault.sessions.v1", golden("summary_canonical"))
    texts = (b"access-token", b"refresh-token", b"id-token")
    assert tokens == b"\1" + b"".join(b"\1" + struct.pack(">I", len(t)) + t for t in texts)
    # What the library drew for these was 0, 1, 2, ...
    item, item_key, printed = bytes(range(16)), bytes(range(16, 48)), bytes(range(128, 160))
    assert data_key_of(golden("vault_header_keychain"), item_key, 3, item) == bytes(range(48, 80))
    assert data_key_of(golden("vault_header_command"), printed, 4) == bytes(range(32))
    print("the golden files open by docs/formats.md")


main(sys.argv[1])
