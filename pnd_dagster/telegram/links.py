"""Links to Telegram channels: the many ways people write one, lists of them, and those that occur in message text.

No link is ever opened here.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import polars as pl

from pnd_dagster import tables
from pnd_dagster.errors import SourceError
from pnd_dagster.storage.dead_letters import Refusal, clean_text, dead_letters

MAX_LIST_BYTES = 50_000_000
LINK_COLUMNS = ("link", "url", "channel", "channel_link", "username", "telegram")

_TELEGRAM_HOSTS = {"t.me", "telegram.me", "telegram.dog"}
_TGSTAT_HOSTS = {"tgstat.com", "tgstat.ru"}
# First words of t.me paths that lead to no channel.
_RESERVED = {
    *("addemoji", "addlist", "addstickers", "addtheme", "bg", "boost", "confirmphone", "contact", "giftcode", "invoice", "iv"),
    *("joinchat", "login", "m", "proxy", "setlanguage", "share", "socks"),
}
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{3,31}")
_INVITE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_MAX_LINK_CHARACTERS = 300
_IN_TEXT = re.compile(
    r"(?P<url>(?:https?://|(?<![\w.@/-]))(?:www\.)?(?:t\.me|telegram\.me|telegram\.dog)/[\w+/@-]{4,100}|tg://(?:resolve|join)\?[\w=&+-]{4,100})"
    r"|(?<![\w.@/+-])@(?P<name>[A-Za-z][A-Za-z0-9_]{3,31})(?![\w@])(?!\.\w)",
    re.ASCII | re.IGNORECASE,
)


class ChannelLink(NamedTuple):
    """A channel as a link names it: by public name, by invitation, or by the id of a private channel.

    `link` is the one form in which we write it, e.g. https://t.me/name; `is_mention` is true for a bare @name in a text, which may be
    a person.
    """

    link: str
    username: str | None = None
    invite_hash: str | None = None
    channel_id: int | None = None
    is_mention: bool = False

    @property
    def key(self) -> str:
        """What makes two links one: public names differ in no more than their case."""
        return self.link if self.invite_hash else self.link.lower()


class LinkList(NamedTuple):
    """Channels of a list as rows of raw.telegram_channels, and the lines that were refused."""

    channels: pl.DataFrame
    dead_letters: pl.DataFrame


def parse_channel_link(text: str) -> ChannelLink:
    """The channel that `text` names.

    Reads t.me, telegram.me and telegram.dog addresses with or without scheme (also /s/name, /name/123, /joinchat/hash, /+hash, /c/id/123,
    name.t.me), tg://resolve and tg://join, @name, and TGStat's channel pages.

    Raises:
        ValueError: it names no channel; says why.
    """
    text = text.strip()
    if not text or len(text) > _MAX_LINK_CHARACTERS or any(character.isspace() or not character.isprintable() for character in text):
        raise ValueError("empty" if not text else "not one link")
    if text.startswith("@"):
        return _by_name(text[1:])
    if text.lower().startswith("tg:"):
        return _of_tg_scheme(text)
    try:
        address = urlsplit(text if "://" in text else f"https://{text}")
        host = (address.hostname or "").removeprefix("www.")
    except ValueError:
        raise ValueError("not a link") from None
    if address.scheme.lower() not in ("http", "https"):
        raise ValueError(f"scheme {address.scheme[:20]!r} leads to no channel")
    parts = [part for part in address.path.split("/") if part]
    if host in _TELEGRAM_HOSTS:
        return _of_telegram_path(parts)
    if host.endswith(".t.me"):
        return _by_name(host.removesuffix(".t.me"))
    if host in _TGSTAT_HOSTS or host.endswith(tuple(f".{known}" for known in _TGSTAT_HOSTS)):
        return _of_tgstat_path(parts)
    if "." in host:
        raise ValueError(f"{host[:60]} is neither Telegram nor TGStat")
    raise ValueError("not a link to a channel; write https://t.me/name or @name")


def link_id(link: ChannelLink) -> int:
    """The channel id while only a link is known: negative, the same for the same link ever after."""
    if link.channel_id is not None:
        return link.channel_id
    digest = hashlib.blake2b(link.key.encode(), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "big") >> 1)


def find_channel_links(text: str) -> list[ChannelLink]:
    """Channels that a message's text links to or mentions, each once, in order; links of bots and of Telegram's own pages are left out."""
    if "@" not in text and "t.me" not in text and "elegram." not in text and "tg://" not in text:
        return []
    found: dict[str, ChannelLink] = {}
    for match in _IN_TEXT.finditer(text):
        try:
            link = parse_channel_link(match["url"].rstrip("/") if match["url"] else f"@{match['name']}")
        except ValueError:
            continue
        if match["url"] is None:
            found.setdefault(link.key, link._replace(is_mention=True))
        elif link.key not in found or found[link.key].is_mention:
            found[link.key] = link
    return list(found.values())


def read_link_list(path: Path, *, discovered_at: datetime) -> LinkList:
    """Candidates from a saved list: a text file with one link a line, or a CSV file with a column of links.

    Blank lines and lines that begin with # are skipped; in a text file, what follows the link on its line is ignored.

    Args:
        path: the list, UTF-8; `.csv` and `.tsv` are read as tables.
        discovered_at: when we knew of these channels.

    Raises:
        SourceError: the file cannot be read, or the table has no column of links.
    """
    links: dict[str, ChannelLink] = {}
    refusals: list[Refusal] = []
    for line_number, cell in _cells(path):
        try:
            link = parse_channel_link(cell)
        except ValueError as error:
            refusals.append(Refusal(f"line {line_number}", f"no channel link: {error}", cell))
        else:
            links.setdefault(link.key, link)
    return LinkList(
        candidates(
            (
                {"channel_id": link_id(link), "username": link.username, "link": link.link, "found_via": "link list"}
                for link in links.values()
            ),
            discovered_at=discovered_at,
        ),
        dead_letters(path.name, refusals, refused_at=discovered_at),
    )


def candidates(rows: Iterable[dict[str, Any]], *, discovered_at: datetime) -> pl.DataFrame:
    """Rows of raw.telegram_channels that wait for a human: `rows` hold what is known of each channel, the first of an id stays."""
    complete = [{**row, "status": "candidate", "is_vanished": False, "discovered_at": discovered_at} for row in rows]
    frame = pl.DataFrame(complete, schema=tables.polars_schema(tables.TELEGRAM_CHANNELS))
    return tables.conform(frame.unique("channel_id", keep="first", maintain_order=True), tables.TELEGRAM_CHANNELS)


def _cells(path: Path) -> Iterator[tuple[int, str]]:
    """Line numbers from 1 and the text where a link should stand."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise SourceError(f"{path}: larger than {MAX_LIST_BYTES:,} bytes, this is no list of links")
        text = path.read_bytes().decode("utf-8-sig", "replace")
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror}") from error
    if path.suffix.lower() in (".csv", ".tsv"):
        yield from _table_cells(path, text)
        return
    for line_number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            yield line_number, clean_text(words[0].rstrip(",;"))


def _table_cells(path: Path, text: str) -> Iterator[tuple[int, str]]:
    head = text.partition("\n")[0]
    delimiter = max("\t;,", key=head.count)
    reader = csv.reader(io.StringIO(text.replace("\0", "\ufffd"), newline=""), delimiter=delimiter)
    try:
        header = [name.strip().lower() for name in next(reader, [])]
        column = next((header.index(name) for name in LINK_COLUMNS if name in header), None)
        if column is None:
            raise SourceError(f"{path}: no column of links; name one of them {', '.join(LINK_COLUMNS)}")
        for row in reader:
            if any(cell.strip() for cell in row):
                cell = row[column].strip() if column < len(row) else ""
                is_bare_name = header[column] == "username" and _NAME.fullmatch(cell)
                yield reader.line_num, f"@{cell}" if is_bare_name else cell
    except csv.Error as error:
        raise SourceError(f"{path}: line {reader.line_num}: not CSV: {error}") from error


def _by_name(name: str) -> ChannelLink:
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name[:60]!r} is no public name")
    if name.lower().endswith("bot"):
        raise ValueError(f"{name} is a bot")
    return ChannelLink(f"https://t.me/{name}", username=name)


def _by_invite(invite_hash: str) -> ChannelLink:
    if not _INVITE.fullmatch(invite_hash):
        raise ValueError(f"{invite_hash[:60]!r} is no invitation")
    return ChannelLink(f"https://t.me/+{invite_hash}", invite_hash=invite_hash)


def _of_telegram_path(parts: list[str]) -> ChannelLink:
    match parts:
        case []:
            raise ValueError("no channel in the link")
        case ["joinchat", invite_hash, *_]:
            return _by_invite(invite_hash)
        case ["c", number, *_] if number.isascii() and number.isdigit() and 0 < int(number) < 2**52:
            return ChannelLink(f"https://t.me/c/{int(number)}", channel_id=int(number))
        case ["s", name, *_]:
            return _by_name(name)
        case [first, *_] if first.startswith("+"):
            # t.me/+49151... is a telephone number, not an invitation.
            if first[1:].isdigit():
                raise ValueError("a telephone number")
            return _by_invite(first[1:])
        case [first, *_] if first.lower() in _RESERVED:
            raise ValueError(f"t.me/{first} leads to no channel")
        case _:
            return _by_name(parts[0].removeprefix("@"))


def _of_tgstat_path(parts: list[str]) -> ChannelLink:
    for index, part in enumerate(parts[:-1]):
        if part in ("channel", "chat"):
            name = parts[index + 1]
            return _by_name(name[1:]) if name.startswith("@") else _by_invite(name)
    raise ValueError("no channel page of TGStat")


def _of_tg_scheme(text: str) -> ChannelLink:
    query = parse_qs(text.partition("?")[2])
    if names := query.get("domain"):
        return _by_name(names[0])
    if invites := query.get("invite"):
        return _by_invite(invites[0])
    raise ValueError("no channel in the tg: link")
