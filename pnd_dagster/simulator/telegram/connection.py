"""One client's connection: unpacks what it sends, answers, and pushes updates to it."""

from __future__ import annotations

import asyncio
import logging
import struct
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl import TLObject, TLRequest, functions, types
from telethon.tl.core import GzipPacked, MessageContainer

from pnd_dagster.simulator.telegram.transport import UNKNOWN_KEY, Envelope, Opened, key_id_of, open_payload, packet, read_packet, seal

# Answers longer than this are worth packing.
PACKED_BYTES = 512
WRONG_SALT = 48
_RPC_RESULT = 0xF35C6D01
_VECTOR = 0x1CB5C415
# Errors that mean a broken stream rather than a broken server.
_ENDED = (asyncio.IncompleteReadError, OSError, ValueError, BufferError, struct.error)

log = logging.getLogger(__name__)


class RefusedError(Exception):
    """A request is answered with an error of this code and message, such as 420 and FLOOD_WAIT_30."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


class Server(Protocol):
    """What a connection needs of its server."""

    salt: int

    def account_of(self, key_id: int) -> tuple[str, Any] | None:
        """The account of a key, and the key; None if nobody's."""
        ...

    def answer(self, account: str, request: Any) -> bytes:
        """The serialised answer to a request, or a `RefusedError`."""
        ...

    async def until_heard(self) -> None:
        """Waits while the server is silent."""
        ...


class Connection:
    """A connection; `run` serves it until it ends.

    Attributes:
        account: whose key it uses, known from the first message on.
        wants_updates: it asked for something, and not to be left in peace.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, server: Server) -> None:
        self._reader, self._writer, self._server = reader, writer, server
        self._key: Any = None
        self._session_id: int | None = None
        self._packets, self._sequence, self._last_id = 0, 0, 0
        self._outgoing: asyncio.Queue[tuple[bytes, bool, bool]] = asyncio.Queue()
        self.account: str | None = None
        self.wants_updates = False

    async def run(self) -> None:
        """Reads and answers until either side ends the connection."""
        writing = asyncio.create_task(self._write())
        try:
            while True:
                payload = await read_packet(self._reader)
                if not self._recognise(payload):
                    await self._server.until_heard()
                    self._writer.write(packet(self._packets, UNKNOWN_KEY))
                    await self._writer.drain()
                    return
                self._hear(open_payload(self._key, payload))
        except _ENDED as error:
            log.debug("a connection ended: %r", error)
        finally:
            self.wants_updates = False
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            self.abort()

    def abort(self) -> None:
        """Ends the connection abruptly; what was not sent yet is lost."""
        self.wants_updates = False
        self._writer.transport.abort()

    def push(self, update: bytes) -> None:
        """Sends serialised updates, which nobody asked for."""
        self._send(update, is_answer=False)

    def _recognise(self, payload: bytes) -> bool:
        if self._key is None and (known := self._server.account_of(key_id_of(payload))) is not None:
            self.account, self._key = known
        return self._key is not None and key_id_of(payload) == self._key.key_id

    def _hear(self, message: Opened) -> None:
        if message.session_id != self._session_id:
            self._session_id = message.session_id
            self._send(bytes(types.NewSessionCreated(message.message_id, time.time_ns(), self._server.salt)), is_answer=False)
        if message.salt != self._server.salt:
            wrong = types.BadServerSalt(message.message_id, message.sequence, WRONG_SALT, self._server.salt)
            self._send(bytes(wrong), is_content=False)
            return
        self._process(message.message_id, message.body)

    def _process(self, message_id: int, body: bytes) -> None:
        try:
            found = BinaryReader(body).tgread_object()
        except TypeNotFoundError as error:
            unreadable = error
            self._answer(message_id, lambda: self._server.answer(self._account(), unreadable))
            return
        self._take(message_id, found)

    def _take(self, message_id: int, found: Any) -> None:
        match found:
            case MessageContainer():
                for inner in found.messages:
                    self._take(inner.msg_id, inner.obj)
            case GzipPacked():
                self._process(message_id, found.data)
            case functions.PingRequest() | functions.PingDelayDisconnectRequest():
                self._send(bytes(types.Pong(message_id, found.ping_id)), is_content=False)
            case TLRequest():
                self._answer(message_id, lambda: self._server.answer(self._account(), self._unwrapped(found)))
            case _:
                # Acknowledgements and the like; what was pushed into a connection that broke is not sent again.
                pass

    def _unwrapped(self, request: Any) -> Any:
        """The request within others that say how to treat it."""
        is_quiet = False
        while isinstance(request, _WRAPPERS):
            is_quiet |= isinstance(request, functions.InvokeWithoutUpdatesRequest)
            request = request.query
        # Whoever asks for anything is sent updates from then on, also without introducing itself again after a reconnection.
        self.wants_updates |= not is_quiet
        return request

    def _account(self) -> str:
        assert self.account is not None  # noqa: S101 - only recognised connections are heard
        return self.account

    def _answer(self, message_id: int, ask: Callable[[], bytes]) -> None:
        try:
            result = ask()
        except RefusedError as refused:
            result = bytes(types.RpcError(refused.code, refused.message))
        if len(result) > PACKED_BYTES:
            result = bytes(GzipPacked(result))
        self._send(struct.pack("<Iq", _RPC_RESULT, message_id) + result)

    def _send(self, body: bytes, *, is_answer: bool = True, is_content: bool = True) -> None:
        self._outgoing.put_nowait((body, is_answer, is_content))

    async def _write(self) -> None:
        while True:
            body, is_answer, is_content = await self._outgoing.get()
            await self._server.until_heard()
            assert self._session_id is not None  # noqa: S101 - what is sent answers something
            envelope = Envelope(self._server.salt, self._session_id, self._next_id(is_answer), self._sequence * 2 + is_content)
            self._sequence += is_content
            self._writer.write(packet(self._packets, seal(self._key, envelope, body)))
            self._packets += 1
            try:
                await self._writer.drain()
            except OSError:
                return

    def _next_id(self, is_answer: bool) -> int:
        """Ids are times of which 2^32 make a second; the last two bits tell answers from what comes by itself."""
        base = int(time.time() * (1 << 32)) & ~3
        self._last_id = max(base, (self._last_id & ~3) + 4) | (1 if is_answer else 3)
        return self._last_id


_WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeWithoutUpdatesRequest,
    functions.InvokeAfterMsgRequest,
)


def serialised(answer: TLObject | Sequence[TLObject]) -> bytes:
    """An answer as bytes; a sequence becomes a vector."""
    if isinstance(answer, TLObject):
        return bytes(answer)
    return struct.pack("<Ii", _VECTOR, len(answer)) + b"".join(bytes(one) for one in answer)
