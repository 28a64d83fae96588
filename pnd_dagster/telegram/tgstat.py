"""TGStat's API (https://api.tgstat.ru/docs/ru/start/intro.html): searching Telegram channels by words of their titles and descriptions.

The API takes its token in the address. So no address is ever logged or put into an error here, and redirections are not followed.
"""

from __future__ import annotations

import email.utils
import ipaddress
import logging
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import combinations
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import polars as pl
import requests
import tenacity
from pydantic import SecretStr

from pnd_dagster.errors import PndError, QuotaExhaustedError, SettingError, SourceError, TransientError
from pnd_dagster.storage.dead_letters import Refusal, clean_text, dead_letters
from pnd_dagster.telegram.links import candidates, link_id, parse_channel_link

KEYWORDS = ("crypto", "pump", "dump", "P&D", "signal")
"""The paper's words (section IV-A)."""

PAGE_LIMIT = 100
MAX_OFFSET = 1_000
MAX_ATTEMPTS = 5
# A server that asks for a longer pause is left alone: the run ends and can be started again.
MAX_WAIT_SECONDS = 300.0
TIMEOUT_SECONDS = (10.0, 60.0)
SOURCE = "tgstat"

_FLOOD_SECONDS = {"flood_control_10": 10.0, "flood_control_60": 60.0}
_TOKEN_ERRORS = {"empty_token", "token_invalid", "no_active_subscription"}
_TOKEN_IN_ADDRESS = re.compile(r"(token=)[^&\s\"']+")


class Usage(NamedTuple):
    """What a subscription has used of its monthly requests; None where TGStat does not say."""

    service: str
    spent_requests: int | None
    request_quota: int | None


class ChannelSearch(NamedTuple):
    """What a search found.

    Attributes:
        channels: candidates, rows of raw.telegram_channels.
        dead_letters: channels of the answers that could not be read.
        request_count: requests made, which count against the quota.
        stopped_by: why the search ended before its last query, None when it is complete.
    """

    channels: pl.DataFrame
    dead_letters: pl.DataFrame
    request_count: int
    stopped_by: str | None


class Query(NamedTuple):
    """One search: words that must all occur, in titles alone or in descriptions too, in one of TGStat's countries."""

    words: str
    in_descriptions: bool
    country: str


class TgstatClient:
    """A session with TGStat that retries what is transient and counts its requests.

    Args:
        token: the API token.
        url: base address; https, or http on this machine.
        request_limit: refuse further requests beyond so many, None for no limit of our own.
        sleep: waits between attempts.

    Raises:
        SettingError: the token is empty, or the address would send it unprotected.
    """

    def __init__(
        self,
        token: SecretStr,
        *,
        url: str = "https://api.tgstat.ru",
        request_limit: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not token.get_secret_value().strip():
            raise SettingError("PND_TGSTAT_TOKEN is empty; get a token at https://api.tgstat.ru")
        self._url = _checked_url(url)
        self._token = token
        self._request_limit = request_limit
        self._sleep = sleep
        self._session = requests.Session()
        self.request_count = 0
        _redact_connection_log()

    def __repr__(self) -> str:
        return f"TgstatClient(url={self._url!r}, request_count={self.request_count})"

    def call(self, method: str, **parameters: str | int) -> Any:
        """The `response` part of TGStat's answer to `method`, e.g. channels/search.

        Raises:
            QuotaExhaustedError: TGStat's quota or our own limit is used up.
            SettingError: TGStat refuses the token.
            SourceError: TGStat refuses the request, or its answer is none we know.
            TransientError: it was not to be had, after several attempts.
        """
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(_is_worth_waiting),
            stop=tenacity.stop_after_attempt(MAX_ATTEMPTS),
            wait=_wait_seconds,
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(self._ask, method, parameters)

    def search_page(self, query: Query, *, offset: int = 0) -> list[Any]:
        """One page of channels/search: at most `PAGE_LIMIT` channels as TGStat describes them."""
        parameters: dict[str, str | int] = {
            "q": query.words,
            "search_by_description": int(query.in_descriptions),
            "country": query.country,
            "limit": PAGE_LIMIT,
        }
        if offset:
            parameters["offset"] = offset
        response = self.call("channels/search", **parameters)
        items = response.get("items") if isinstance(response, dict) else None
        if not isinstance(items, list):
            raise SourceError("TGStat channels/search: the answer has no list response.items; has the API changed?")
        return items

    def countries(self) -> list[str]:
        """Codes of the countries that can be searched (database/countries, which costs no quota)."""
        response = self.call("database/countries")
        codes = [row.get("code") for row in response if isinstance(row, dict)] if isinstance(response, list) else []
        found = [code for code in codes if isinstance(code, str) and code]
        if not found:
            raise SourceError("TGStat database/countries: the answer names no country code; has the API changed?")
        return found

    def usage(self) -> list[Usage]:
        """What each subscription of the token has used (usage/stat)."""
        response = self.call("usage/stat")
        rows = response if isinstance(response, list) else []
        return [_usage(row) for row in rows if isinstance(row, dict)]

    def _ask(self, method: str, parameters: dict[str, str | int]) -> Any:
        if self._request_limit is not None and self.request_count >= self._request_limit:
            raise QuotaExhaustedError(f"TGStat: the limit of {self._request_limit} requests set for this run is used up")
        self.request_count += 1
        try:
            answer = self._session.get(
                f"{self._url}/{method}",
                params={"token": self._token.get_secret_value(), **parameters},
                timeout=TIMEOUT_SECONDS,
                allow_redirects=False,
            )
        # The exceptions of requests name the whole address, token included: nothing of them is passed on but their kind.
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            raise TransientError(f"TGStat {method}: {self._url} cannot be reached ({type(error).__name__})") from None
        except requests.RequestException as error:
            raise SourceError(f"TGStat {method}: {type(error).__name__}") from None
        return self._read(method, answer)

    def _read(self, method: str, answer: requests.Response) -> Any:
        if answer.status_code in (408, 429) or answer.status_code >= 500:
            pause = _retry_after_seconds(answer.headers.get("Retry-After"))
            raise TransientError(f"TGStat {method}: HTTP {answer.status_code}", retry_after_seconds=pause)
        try:
            body = answer.json()
        except requests.exceptions.JSONDecodeError:
            body = None
        if isinstance(body, dict) and body.get("status") == "error":
            raise self._refusal(method, str(body.get("error", "unknown_error")))
        if answer.status_code in (401, 403):
            raise SettingError(f"PND_TGSTAT_TOKEN: TGStat refuses the token (HTTP {answer.status_code})")
        if answer.status_code != 200:
            raise SourceError(f"TGStat {method}: HTTP {answer.status_code}")
        if body is None:
            raise SourceError(f"TGStat {method}: the answer is no JSON ({len(answer.content)} bytes)")
        if not isinstance(body, dict) or body.get("status") != "ok" or "response" not in body:
            raise SourceError(f"TGStat {method}: the answer has no status ok with a response; has the API changed?")
        return body["response"]

    def _refusal(self, method: str, code: str) -> PndError:
        code = " ".join(clean_text(code).replace(self._token.get_secret_value(), "***").split())[:200]
        if code in _FLOOD_SECONDS:
            return TransientError(f"TGStat {method}: too many requests ({code})", retry_after_seconds=_FLOOD_SECONDS[code])
        if code in _TOKEN_ERRORS:
            return SettingError(f"PND_TGSTAT_TOKEN: TGStat refuses the token ({code})")
        if code.startswith("quota_"):
            return QuotaExhaustedError(f"TGStat: the quota of this month is used up ({code})")
        return SourceError(f"TGStat {method}: {code}")


def keyword_queries(countries: Sequence[str], keywords: Sequence[str] = KEYWORDS) -> list[Query]:
    """Every combination of `keywords`, over titles and over titles with descriptions, in each country; single words come first."""
    combined = [" ".join(words) for size in range(1, len(keywords) + 1) for words in combinations(keywords, size)]
    return [Query(words, in_descriptions, country) for words in combined for in_descriptions in (False, True) for country in countries]


def search_channels(
    client: TgstatClient,
    queries: Iterable[Query],
    *,
    discovered_at: datetime,
    progress: Callable[[Query, int], None] | None = None,
) -> ChannelSearch:
    """Candidates for all `queries`, each channel once.

    When the quota ends or TGStat fails for good midway, what was found until then is returned, with the reason.

    Args:
        client: the session.
        queries: as of `keyword_queries`.
        discovered_at: when we knew of these channels.
        progress: called after each query with the number of channels found so far.

    Raises:
        QuotaExhaustedError, SettingError, SourceError, TransientError: nothing at all could be asked.
    """
    rows: dict[str, dict[str, Any]] = {}
    refusals: list[Refusal] = []
    stopped_by: str | None = None
    pager = _Pager(client)
    for query_number, query in enumerate(queries):
        try:
            for item in pager.items(query):
                _collect(item, query, rows, refusals)
        except PndError as error:
            if query_number == 0 and not rows:
                raise
            stopped_by = f"{error} (at {query.words!r}, {query.country})"
            break
        if progress is not None:
            progress(query, len(rows))
    return ChannelSearch(
        channels=candidates(rows.values(), discovered_at=discovered_at),
        dead_letters=dead_letters(SOURCE, refusals, refused_at=discovered_at),
        request_count=client.request_count,
        stopped_by=stopped_by,
    )


class _Pager:
    """Reads a query's pages. The search's paging is undocumented: where `offset` is ignored, that is noticed once and costs one request."""

    def __init__(self, client: TgstatClient) -> None:
        self._client = client
        self._has_paging = True

    def items(self, query: Query) -> Iterator[Any]:
        seen: set[str] = set()
        for offset in range(0, MAX_OFFSET + 1, PAGE_LIMIT):
            page = self._client.search_page(query, offset=offset)
            fresh = [item for item in page if repr(item) not in seen]
            seen.update(map(repr, fresh))
            yield from fresh
            if offset and page and not fresh:
                self._has_paging = False
            if len(page) < PAGE_LIMIT or not fresh or not self._has_paging:
                return


def _collect(item: Any, query: Query, rows: dict[str, dict[str, Any]], refusals: list[Refusal]) -> None:
    try:
        row = _candidate(item)
    except ValueError as error:
        refusals.append(Refusal(f"channels/search {query.words!r}", str(error), item))
        return
    # Answers differ in whether they hold the id: one row a link, and one with an id wins.
    key = row["link"].lower()
    if key not in rows or (rows[key]["channel_id"] < 0 < row["channel_id"]):
        rows[key] = row


def _candidate(item: Any) -> dict[str, Any]:
    """A row of raw.telegram_channels from TGStat's description of a channel.

    Raises:
        ValueError: the description names no channel.
    """
    if not isinstance(item, dict):
        raise ValueError("channel is no object")
    address = item.get("link") or item.get("username")
    if not isinstance(address, str):
        raise ValueError("channel has neither link nor username")
    link = parse_channel_link(address)
    count = item.get("participants_count")
    return {
        "channel_id": _telegram_id(item.get("tg_id")) or link_id(link),
        "title": _text(item.get("title")),
        "username": link.username,
        "link": link.link,
        "description": _text(item.get("about")),
        "participants": count if isinstance(count, int) and not isinstance(count, bool) and 0 <= count < 2**62 else None,
        "found_via": SOURCE,
    }


def _telegram_id(value: Any) -> int | None:
    """Telegram's id without the -100 prefix of the Bot API; None for anything else."""
    if isinstance(value, bool) or not re.fullmatch(r"-?\d{1,18}", str(value)):
        return None
    digits = str(value).lstrip("-")
    if str(value).startswith("-100") and len(digits) > 11:
        digits = digits[3:]
    return int(digits) or None


def _text(value: Any) -> str | None:
    return clean_text(value).strip()[:10_000] or None if isinstance(value, str) else None


def _usage(row: dict[str, Any]) -> Usage:
    spent, _, quota = str(row.get("spentRequests", "")).partition("/")
    return Usage(
        service=str(row.get("serviceKey", "")),
        spent_requests=int(spent) if spent.isdigit() else None,
        request_quota=int(quota) if quota.isdigit() else None,
    )


def _checked_url(url: str) -> str:
    address = urlsplit(url)
    host = address.hostname or ""
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not host or not (address.scheme == "https" or (address.scheme == "http" and is_loopback)):
        raise SettingError("PND_TGSTAT_URL: must be an https address, or http on this machine, so that the token stays secret")
    return url.rstrip("/")


def _is_worth_waiting(error: BaseException) -> bool:
    return isinstance(error, TransientError) and (error.retry_after_seconds or 0) <= MAX_WAIT_SECONDS


def _wait_seconds(state: tenacity.RetryCallState) -> float:
    """What the server asked for, at least; otherwise one second and doubling, with some jitter."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_seconds if isinstance(error, TransientError) else None
    return max(asked or 0.0, tenacity.wait_exponential_jitter(initial=1, max=60)(state))


def _retry_after_seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None for neither."""
    if header is None:
        return None
    if header.strip().isdigit():
        return float(header)
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


class _TokenFilter(logging.Filter):
    """Takes the token out of the addresses that urllib3 logs at level DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_TOKEN_IN_ADDRESS.sub(r"\1***", one) if isinstance(one, str) else one for one in record.args)
        return True


def _redact_connection_log() -> None:
    logger = logging.getLogger("urllib3.connectionpool")
    if not any(isinstance(one, _TokenFilter) for one in logger.filters):
        logger.addFilter(_TokenFilter())
