"""Tell-tale wording of messages that the label alone does not carry: 'next post is the coin', trade signals, results, postponements."""

from __future__ import annotations

import re
from datetime import timedelta

_EMOJI = re.compile(r":[a-z][a-z0-9_\-’'.()&!]*:|:[A-Za-z][A-Za-z0-9]*_[A-Za-z0-9_\-’'.()&!]*:")
_UNIT_OF_DELAY = r"(?P<n>\d{1,3}|an?|one|two|three|half\san)\s?(?P<unit>hours?|hrs?|h\b|minutes?|mins?|days?|weeks?)"

_NEXT_POST = re.compile(
    r"\bnext\s(?:\w+\s)?(?:post|message|msg|one|text|update)?\s?(?:will|is|are|=|:|to)\s?(?:be|show|contain|start|have|reveal)?.{0,30}\b(?:coin|name|pick|signal|image|picture|photo|gem|token|call|pump)"
    r"|\bnext\s(?:post|message|msg)\b"
    r"|\b(?:coin|signal|name)\s(?:is\s)?(?:in\s(?:the\s)?next|coming\s(?:in\s)?next)"
    r"|sonraki\smesaj|следующ\w+\s(?:пост|сообщени)|pr[oó]ximo\smensaje|pr[oó]xima\smensagem",
    re.IGNORECASE,
)
_STOP_LOSS = re.compile(r"\bstop[\s\-_]?loss?e?s?\b|\bs[./]?l\b\s?[:=\-@]?\s?\d|\bstop\s?[:=\-@]\s?\d|\bsl\s?[:=]", re.IGNORECASE)
_ENTRY = re.compile(
    r"\bentr(?:y|ies)\b|\bbuy(?:ing)?\s?(?:zone|range|area|price|between|around|above|below|under|near|limit|now\s?@|@|at\b|in\sparts|on\sdips?|again)"
    r"|\bbuy\s?[:=\-–@]?\s?\(?\d[\d.,]*|\baccumulat|\bleverage\b|\bcross\s?\d+x|\b(?:long|short)\s?(?:term|set|position|zone|#|\$|entry|@|:)|\bbought\b|\bcurrent\sprice|\bcmp\b|\brange\b",
    re.IGNORECASE,
)
_TARGETS = re.compile(
    r"\b(?:targets?|tgts?|tp|take[\s\-_]?profits?|sell(?:ing)?(?:\stargets?|\szone)?)\s?\d?\s?[:;=\-–@>]*\s?:?\s?(?:0[.,]\d+|\d{2,}\b(?!\s?%)|\d+\.\d+\b(?!\s?%)(?!\s?x))",
    re.IGNORECASE,
)
_PRICES = re.compile(r"(?<![\d.])(?:0\.0\d{2,}|\d{2,7}(?:\s?[\-–+|/,]\s?\d{2,7}){2,})")
_RESULT = re.compile(
    r"\bresults?\b|\bcoin\s(?:was|pumped)\b|\breached\b|\b(?:start|open|opening|launch|before)(?:ing|ed)?\s?(?:price)?\s?[:@]|\b(?:peak|highest?|low)\s?(?:price|gain)?\s?:|\bprofit\s?:|"
    r"\bwe\s(?:did|made|hit|reached|pumped)\b|\bachieved\b|\bhit\b.{0,20}\btarget|\btargets?\s(?:\d\s)?(?:hit|done|achieved|completed|reached)|\b(?:went|gone|up|gains?\sof|profit\sof|pumped)\s(?:to\s|by\s|over\s|up\s)*\+?\d+\s?%|"
    r"\bcongrat|\bwell\s?done\b|last\spumps?\b|\bprevious\b|\bprofits?\sso\sfar|(?:%|\bprofits?|\bgains?|\bdone|\d\s?x)\s(?:\w+\s)?(?:with)?in\s(?:just\s|only\s)?\d+\s?(?:min|hour|sec|day)|\bentered\sentry\b|\bperiod\s?:|\bsold\b|#\w{2,10}\s\d{2,}\b|\b\w{2,10}\s?\.{2,}\s?\+?\d{2,4}\s?%|\bbooked?\b|:\s?\d+\s?%\s?(?:profit|gain)",
    re.IGNORECASE,
)
_NEWS = re.compile(
    r"\b(?:listing|listed|airdrop|partnership|mainnet|announces?|report|article|giveaway|whitepaper|roadmap|conference|update\sof|rebrand|contest)\b",
    re.IGNORECASE,
)
_REVEAL = re.compile(
    r"\b(?:coin|token|gem|pick|shit\s?coin)s?\s?(?:name|to\s(?:buy|pump|hold)|of\sthe\s(?:day|week|month)|of\s\w+\smonth|picked|we\s(?:have\s)?(?:picked|chose|selected)[^\n:]{0,30})?\s?(?:to\s(?:pump|buy)\s?(?:today|now)?)?\s?(?:is\b|:|=|-+>|➡|👉)"
    r"|\b(?:today'?s|our|the)\s(?:pump\s)?(?:coin|pick|gem|token)\b|\bpump(?:ed|ing)?\s?(?:coin|name)\b|\bcoin\s?(?:is|:)",
    re.IGNORECASE,
)
_HYPE = re.compile(
    r"\bbuy\s(?:buy|now|fast|it)|\bgo\sgo\b|\bhold\b|\bpump(?:ing)?\b|\bto\sthe\smoon|\bmoon(?:ing)?\b|\bbuy\s(?:and|&|n)\shold|:rocket:|🚀",
    re.IGNORECASE,
)
_ADVERT = re.compile(r"\bvip\b|\bmembership|\bpremium\b|\bcontact\b|\bsubscri|\bjoin\b|\bper\smonth|\bdiscount|\boffer\b", re.IGNORECASE)
_CANCEL = re.compile(
    r"\b(?:cancel\w*|call(?:ed)?\soff|no\spump\s(?:today|tonight|tomorrow)|(?:pump|event|signal)\s(?:is\s|has\sbeen\s)?(?:stopped|suspended))\b|iptal|отмен",
    re.IGNORECASE,
)
_BY = re.compile(
    rf"(?:postpon\w*|delay\w*|push\w*|mov(?:e|ed|ing)|shift\w*|late|extend\w*|wait|reschedul\w*)\b[^\n.!]{{0,40}}?\b(?:by|for|of|another|to|until|:)?\s?(?:about\s|another\s|the\snext\s)?{_UNIT_OF_DELAY}(?!\s?(?:ago|before|left))",
    re.IGNORECASE,
)
_DELAY_FIRST = re.compile(rf"{_UNIT_OF_DELAY}\s(?:delay|late|postpon|extension)", re.IGNORECASE)
_PUMP_WORD = re.compile(
    r"\bpump\w*|\bpumpa\b|\bmega\s?(?:call|signal|pump|event)|\bbig\s?(?:call|signal|event)|\b(?:coin|signal|call|gem|hodl|hold|whale)\b[^\n]{0,40}\b(?:will\sbe|shared?|released?|given|posted|announced|coming|event|call|left)",
    re.IGNORECASE,
)
_NUMBERS = {"a": 1.0, "an": 1.0, "one": 1.0, "two": 2.0, "three": 3.0}


def strip_emoji(text: str) -> str:
    """`text` without the `:names:` that normalising makes of emoji."""
    return _EMOJI.sub(" ", text)


def is_next_post_cue(text: str) -> bool:
    """Whether a message says that the next one will name the coin."""
    return bool(_NEXT_POST.search(text[:3000]))


def count_signal_marks(text: str) -> int:
    """How many of stop loss, entry, price targets and price lists an ordinary trading signal shows (0-4)."""
    text = strip_emoji(text[:4000])
    return sum(bool(pattern.search(text)) for pattern in (_STOP_LOSS, _ENTRY, _TARGETS, _PRICES))


def is_result_wording(text: str) -> bool:
    """Whether a message looks back on a pump or a signal."""
    return bool(_RESULT.search(strip_emoji(text[:3000])))


def is_news_wording(text: str) -> bool:
    """Whether a message reports news of a project."""
    return bool(_NEWS.search(strip_emoji(text[:3000])))


def is_advert_wording(text: str) -> bool:
    """Whether a message sells membership."""
    return bool(_ADVERT.search(strip_emoji(text[:3000])))


def is_reveal_wording(text: str) -> bool:
    """Whether a message says which coin is meant ('the coin is', 'coin name:')."""
    return bool(_REVEAL.search(text[:3000]))


def is_hype_wording(text: str) -> bool:
    """Whether a message urges to buy or hold."""
    return bool(_HYPE.search(text[:3000]))


def is_pump_wording(text: str) -> bool:
    """Whether a message speaks of a pump, or of a coin or call that will be shared."""
    return bool(_PUMP_WORD.search(text[:3000]))


def is_cancellation(text: str) -> bool:
    """Whether a delay-or-cancellation message cancels."""
    return bool(_CANCEL.search(text[:3000]))


def read_delay(text: str) -> timedelta | None:
    """By how much a message postpones ('delayed by 1 hour'), or None if it names no span."""
    match = _BY.search(text[:3000]) or _DELAY_FIRST.search(text[:3000])
    if not match:
        return None
    number, unit = match["n"].lower(), match["unit"].lower()
    amount = 0.5 if number.startswith("half") else _NUMBERS.get(number) or float(number)
    if unit.startswith("m"):
        return timedelta(minutes=amount)
    if unit.startswith("h"):
        return timedelta(hours=amount)
    return timedelta(days=amount * (7 if unit.startswith("w") else 1))
