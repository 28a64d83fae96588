"""Normalising a message's text (paper IV-B), so that one wording is one text to models and rules.

The order matters: emoji are named before NFKC, which would make a letter of ℹ️; URLs go before letters are joined. Line breaks
stay, single: a schedule is read by its lines. The result is stable: normalising it again changes nothing.
"""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Iterable

from pnd_dagster.messages import emojis, unicode_letters
from pnd_dagster.messages.spacing import fold_white_space, join_letters, split_units
from pnd_dagster.messages.urls import replace_addresses, replace_urls
from pnd_dagster.venues import find_venues

_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f]")
# Joiners, zero-width and direction marks, fillers, tags.
_INVISIBLE = frozenset(
    map(
        chr,
        [
            *(0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0),
            *range(0x180B, 0x180F),
            *range(0x200B, 0x2010),
            *range(0x202A, 0x202F),
            *range(0x2060, 0x2070),
            *range(0xFE00, 0xFE10),
            *range(0xE0000, 0xE0080),
        ],
    )
)
_INVISIBLE_RE = re.compile(f"[{''.join(sorted(_INVISIBLE))}]+")
_LOOKALIKES = {"\u2800": " ", "’": "'", "‘": "'", "‛": "'", "“": '"', "”": '"', "„": '"', "\u2028": "\n", "\u2029": "\n"}
_LOOKALIKE_TABLE = str.maketrans(_LOOKALIKES)
_DOTTED_IO = re.compile(r"\.(?:İO|İo|io\u0307)\b")
_ENTITY = re.compile(r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")
_MAX_ROUNDS = 4


def normalise(text: str) -> str:
    """The text in plain form.

    Enclosed, dingbat, small-capital and look-alike letters become plain, emoji `:names:`, URLs placeholders (`urls.py`), handles
    @USER, e-mail UNKNOWN_EMAIL, contract addresses CONTRACT_ADDRESS; spread-out letters are joined, `5minutes` is split, and the
    mention of an exchange gets `_CEX` or `_DEX` behind it. Linear in the length of the text; any str is accepted, NUL and lone
    surrogates included.
    """
    # Joining or unescaping can bring to light what another round would change: rounds go on until nothing does.
    for _ in range(_MAX_ROUNDS):
        before = text
        text, is_settled = _round(text)
        if is_settled or text == before:
            break
    return text


def normalise_many(texts: Iterable[str]) -> list[str]:
    """`normalise` of each text, in order."""
    return [normalise(text) for text in texts]


def _round(text: str) -> tuple[str, bool]:
    is_settled = True
    if "&" in text and _ENTITY.search(text):
        text, is_settled = _ENTITY.sub(lambda entity: html.unescape(entity.group()), text), False
    if not text.isascii():
        text = _to_plain(text)
    if _CONTROL.search(text):
        text = _CONTROL.sub(" ", text)
    text = text.replace("\r", "\n").replace("`", "'")
    text = replace_addresses(replace_urls(text))
    joined = join_letters(text)
    split = split_units(joined)
    folded = fold_white_space(split)
    # Two blanks part words of single letters; once they are folded, the rest of them is one run.
    is_settled = is_settled and split == text and ("  " not in joined or join_letters(folded) == folded)
    return _tag_venues(folded), is_settled


def _to_plain(text: str) -> str:
    """The steps that only texts beyond ASCII need; each runs only if one of its characters is there."""
    if _SURROGATE.search(text):
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    chars = set(text)
    if unicode_letters.KEYCAP in chars:
        text = unicode_letters.plain_keycaps(text)
    if not chars.isdisjoint(unicode_letters.ENCLOSED):
        text = unicode_letters.plain_enclosed(emojis.without_variations(text))
    if not chars.isdisjoint(unicode_letters.DIGITS):
        text = unicode_letters.plain_digits(text)
    if not chars.isdisjoint(unicode_letters.SMALL_CAPITALS):
        text = unicode_letters.plain_small_capitals(text)
    if not chars.isdisjoint(unicode_letters.REGIONAL):
        text = unicode_letters.plain_regional(text, emojis.flags())
    if not chars.isdisjoint(emojis.emoji_starts()):
        text = emojis.name_emojis(emojis.without_variations(text))
    if text.isascii():
        return text
    if not chars.isdisjoint(_INVISIBLE):
        text = _INVISIBLE_RE.sub("", text)
    if not chars.isdisjoint(_LOOKALIKES):
        text = text.translate(_LOOKALIKE_TABLE)
    text = unicodedata.normalize("NFKC", text)
    if not unicode_letters.LOOSE_MARKS.isdisjoint(text):
        text = unicode_letters.without_loose_marks(_DOTTED_IO.sub(".IO", text))
    if "İ" in text:
        text = _DOTTED_IO.sub(".IO", text)
    if not unicode_letters.HOMOGLYPHS.isdisjoint(text):
        text = unicode_letters.plain_homoglyphs(text)
    return text


def _tag_venues(text: str) -> str:
    parts: list[str] = []
    at = 0
    for venue, start, end in find_venues(text):
        if text.endswith(("_CEX", "_DEX"), start, end) or text.endswith("_URL(", 0, start):
            continue
        name = text[start:end]
        # "Yobit.net" and "Yobit" are one name to a model.
        stem = name.split(".")[0]
        if "." in name and stem.lower() in venue.aliases:
            name = stem
        parts += [text[at:start], name, "_CEX" if venue.kind == "cex" else "_DEX"]
        if text[end : end + 1].isalnum():
            parts.append(" ")
        at = end
    return "".join([*parts, text[at:]]) if parts else text
