"""MTProto 2.0 as a server speaks it: packets of the full TCP transport, and messages encrypted with an authorization key.

Source: core.telegram.org/mtproto/description and core.telegram.org/mtproto/mtproto-transports.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from typing import Any, NamedTuple
from zlib import crc32

from telethon.crypto import AES, AuthKey

LARGEST_PACKET = 1 << 24
UNKNOWN_KEY = struct.pack("<i", -404)


class Opened(NamedTuple):
    """A client's message without its envelope. `body` is one serialised object, with padding behind it."""

    salt: int
    session_id: int
    message_id: int
    sequence: int
    body: bytes


class Envelope(NamedTuple):
    """What surrounds a server's message."""

    salt: int
    session_id: int
    message_id: int
    sequence: int


def account_key(account: str) -> AuthKey:
    """The authorization key of an account's session: a function of its name, so that every process can make the session."""
    return AuthKey(hashlib.shake_256(f"simulated telegram {account}".encode()).digest(256))


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """The payload of the next packet.

    Raises:
        asyncio.IncompleteReadError: the connection ended.
        ValueError: this is no packet.
    """
    head = await reader.readexactly(8)
    length = int.from_bytes(head[:4], "little")
    if not 12 <= length <= LARGEST_PACKET:
        raise ValueError(f"a packet of {length} bytes")
    rest = await reader.readexactly(length - 8)
    if crc32(head + rest[:-4]) != int.from_bytes(rest[-4:], "little"):
        raise ValueError("a packet whose checksum is wrong")
    return rest[:-4]


def packet(number: int, payload: bytes) -> bytes:
    """The packet of a payload. Packets of a connection are numbered from 0."""
    data = struct.pack("<ii", len(payload) + 12, number) + payload
    return data + struct.pack("<I", crc32(data))


def key_id_of(payload: bytes) -> int:
    """The id of the key a payload is encrypted with; 0 for a plain one."""
    return int.from_bytes(payload[:8], "little")


def open_payload(key: Any, payload: bytes) -> Opened:
    """Decrypts a client's payload.

    Raises:
        ValueError: it was not encrypted with this key.
    """
    message_key = payload[8:24]
    plain = AES.decrypt_ige(payload[24:], *_aes(key, message_key, 0))
    if hashlib.sha256(key.key[88:120] + plain).digest()[8:24] != message_key:
        raise ValueError("a message whose key is wrong")
    salt, session_id, message_id, sequence, length = struct.unpack_from("<qqqii", plain)
    return Opened(salt, session_id, message_id, sequence, plain[32 : 32 + length])


def seal(key: Any, envelope: Envelope, body: bytes) -> bytes:
    """Encrypts a server's message."""
    plain = struct.pack("<qqqii", *envelope, len(body)) + body
    plain += os.urandom(-(len(plain) + 12) % 16 + 12)
    message_key = hashlib.sha256(key.key[96:128] + plain).digest()[8:24]
    return struct.pack("<Q", key.key_id) + message_key + AES.encrypt_ige(plain, *_aes(key, message_key, 8))


def _aes(key: Any, message_key: bytes, side: int) -> tuple[bytes, bytes]:
    """Key and initialisation vector; `side` is 0 for what clients send, 8 for what servers do."""
    a = hashlib.sha256(message_key + key.key[side : side + 36]).digest()
    b = hashlib.sha256(key.key[side + 40 : side + 76] + message_key).digest()
    return a[:8] + b[8:24] + a[24:], b[:8] + a[8:24] + b[24:]
