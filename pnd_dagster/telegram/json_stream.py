"""A large JSON document read piece by piece: objects and arrays are walked, the values in them parsed whole by the standard library."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, TextIO

from pnd_dagster.errors import SourceError

CHUNK_CHARACTERS = 1 << 20
# No value we parse whole is larger; a bigger one means that a quote or bracket is missing somewhere.
MAX_VALUE_CHARACTERS = 64_000_000

_DECODER = json.JSONDecoder()
_SPACE = " \t\r\n"


class JsonStream:
    """A cursor over a JSON text. Every value must be consumed by `value`, `members` or `items` before the next is asked for.

    Args:
        file: the text.
        where: the file's name, for errors.
    """

    def __init__(self, file: TextIO, where: str) -> None:
        self._file = file
        self._where = where
        self._buffer = ""
        self._position = 0
        self._dropped = 0

    def peek(self) -> str:
        """The next character that is no space, '' at the end."""
        while True:
            while self._position < len(self._buffer):
                if self._buffer[self._position] not in _SPACE:
                    return self._buffer[self._position]
                self._position += 1
            if not self._read_more():
                return ""

    def value(self) -> Any:
        """The next value, parsed.

        Raises:
            SourceError: it is not JSON, or the file ends within it.
        """
        self.peek()
        while True:
            try:
                parsed, end = _DECODER.raw_decode(self._buffer, self._position)
            except RecursionError as error:
                raise self.error("nested too deeply") from error
            except ValueError as error:
                if len(self._buffer) - self._position > MAX_VALUE_CHARACTERS or not self._read_more():
                    raise self.error("ends within a value" if not self._file.read(1) else str(error).split(":")[0]) from error
                continue
            # A number may go on beyond the buffer.
            if end == len(self._buffer) and self._read_more():
                continue
            self._position = end
            return parsed

    def members(self) -> Iterator[str]:
        """The names of the next object's members; each one's value must be consumed before the next name."""
        self._expect("{")
        while self.peek() != "}":
            name = self.value()
            if not isinstance(name, str):
                raise self.error("a member's name is no text")
            self._expect(":")
            yield name
            if self.peek() != "}":
                self._expect(",")
        self._expect("}")

    def items(self) -> Iterator[None]:
        """One step for each item of the next array; the item must be consumed before the next step."""
        self._expect("[")
        while self.peek() != "]":
            yield None
            if self.peek() != "]":
                self._expect(",")
        self._expect("]")

    def error(self, reason: str) -> SourceError:
        """An error that names the file and the place."""
        return SourceError(f"{self._where}: broken JSON at character {self._dropped + self._position}: {reason}")

    def _expect(self, sign: str) -> None:
        found = self.peek()
        if found != sign:
            raise self.error(f"expected {sign!r}, found {repr(found) if found else 'the end of the file'}")
        self._position += 1

    def _read_more(self) -> bool:
        left = len(self._buffer) - self._position
        # As much again as is there: a long value is then parsed a handful of times, not once per chunk.
        more = self._file.read(max(CHUNK_CHARACTERS, left))
        if not more:
            return False
        self._dropped += self._position
        self._buffer = self._buffer[self._position :] + more
        self._position = 0
        return True
