"""How an exchange's instruments are shared out among collectors."""

from __future__ import annotations

from dataclasses import dataclass

from pnd_dagster.errors import SettingError


@dataclass(frozen=True)
class Shard:
    """Part `index` (from 1) of `count`; as text i/n."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def holds(self, instrument_id: int) -> bool:
        """Whether an instrument is in this part. Its id is a hash, so the parts are even, and an instrument stays where it is."""
        return instrument_id % self.count == self.index - 1


def parse_shard(text: str) -> Shard:
    """A shard from i/n.

    Raises:
        SettingError: it is none.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()) or not 1 <= int(index) <= int(count):
        raise SettingError(f"{text!r} is no shard; expected i/n, for example 1/2 for the first of two")
    return Shard(int(index), int(count))
