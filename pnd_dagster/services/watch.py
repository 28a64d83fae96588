"""The watch of one pump: ranks the exchange's candidates at every bucket, from ahead of the announced start until two minutes past it.

One process watches at a time, by a lease. What it needs is loaded once; then each bucket that the collectors committed is read, ranked
and written. A postponement or cancellation ends it within a second; killed, another attempt goes on where it was.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import sqlalchemy as sa

from pnd_dagster.alerts.stages import cancelled_alert, candidates_alert, over_alert, released_alert, suspected_alert
from pnd_dagster.errors import DatabaseError, LeaseLostError, TransientError
from pnd_dagster.ranking.rules import rule_by_name
from pnd_dagster.services.watch_buckets import CommitBell, newest_buckets
from pnd_dagster.services.watch_lease import HeldLease, held_lease
from pnd_dagster.services.watch_market import RankedTick, WatchedMarket
from pnd_dagster.services.watch_orders import AFTER_START, OPEN, Order, Pump, exchanges_of, lease_name, read_pump
from pnd_dagster.services.watch_results import Released, evaluate, released_coin
from pnd_dagster.services.watch_rows import State, WatchEnd, begin, end, follow
from pnd_dagster.settings import Settings
from pnd_dagster.tables import BUCKET_SECONDS

# A target is suspected this long before the start at the earliest, and only one that is so far above the mean, and above the second.
SUSPECTED_SECONDS = 120.0
LEADING_SCORE, LEADING_MARGIN = 2.0, 1.0
# A database that refuses everything is waited for no longer than that after the watch's end.
GIVEN_UP_AFTER = timedelta(minutes=1)
log = logging.getLogger(__name__)


class Pace(NamedTuple):
    """How often a watch does what it does by the clock, in seconds.

    Attributes:
        lease_seconds: after so long without a renewal another attempt may begin.
        poll_seconds: commits and the pump's row are looked at so often even if nothing is heard.
        straggler_seconds: a bucket waits so long for shards that are late.
        grace_seconds: so long after its end the last bucket is waited for.
        retry_seconds, longest_retry_seconds: pause after a first failure of the database, and at most.
    """

    lease_seconds: float = 10.0
    poll_seconds: float = 1.0
    straggler_seconds: float = 1.0
    grace_seconds: float = 3.0
    retry_seconds: float = 0.25
    longest_retry_seconds: float = 5.0


DEFAULT_PACE = Pace()


def utc_now() -> datetime:
    """The time."""
    return datetime.now(UTC)


def watch(
    engine: sa.Engine,
    settings: Settings,
    order: Order,
    stop: threading.Event,
    on_tick: Callable[[RankedTick], None] = lambda tick: None,
    *,
    pace: Pace = DEFAULT_PACE,
    clock: Callable[[], datetime] = utc_now,
) -> WatchEnd:
    """Watches until the pump is over, moved or cancelled, or until `stop` is set; ends at once if somebody else watches it.

    A pump whose watch is stopped is left to the next attempt; a watch ordered by hand is over then.

    Args:
        engine: the platform's database.
        settings: score rule, exchanges that are collected, how alerts are sent.
        order: what to watch.
        stop: ends it.
        on_tick: told of every ranking, after it is written.
        pace: how often it does what it does by the clock.
        clock: the time; a replayed market has its own.

    Raises:
        SettingError: there is no such score rule.
        DatabaseError: Postgres cannot be reached at the start, or still not when the watch is long over.
    """
    rule_by_name(settings.score_rule)
    with held_lease(engine, lease_name(order.watch_id), pace.lease_seconds) as held:
        if held is None:
            return WatchEnd(None, "somebody else watches it")
        attempt = begin(engine, held.lease, order, clock())
        if attempt is None:
            return WatchEnd(None, "its watch is over already")
        log.info("%s: attempt %d, %s towards %s", order.watch_id, attempt, ", ".join(order.exchanges), order.scheduled_at)
        running = _Watch(engine, settings, held, order, stop, on_tick, pace, clock)
        try:
            return running.run()
        except LeaseLostError as error:
            return WatchEnd(None, str(error))
        except Exception as error:
            running.end("failed", f"{type(error).__name__}: {error}")
            raise


class _Watch:
    """A watch that holds its lease."""

    def __init__(
        self,
        engine: sa.Engine,
        settings: Settings,
        held: HeldLease,
        order: Order,
        stop: threading.Event,
        on_tick: Callable[[RankedTick], None],
        pace: Pace,
        clock: Callable[[], datetime],
    ) -> None:
        self._engine, self._settings, self._held = engine, settings, held
        self._order, self._stop, self._on_tick = order, stop, on_tick
        self._pace, self._clock = pace, clock
        self._rule = rule_by_name(settings.score_rule)
        self._markets: dict[str, WatchedMarket] = {}
        self._pump: Pump | None = None
        self._released: Released | None = None
        self._told: set[str] = set()
        self._active = 0
        self._is_waiting = False
        self._failures = 0
        self._last_error: str | None = None

    def run(self) -> WatchEnd:
        bell = CommitBell(self._engine)
        try:
            while True:
                self._held.come_round()
                if self._stop.is_set():
                    return self._stopped()
                try:
                    if (ended := self._round()) is not None:
                        return ended
                    self._failures = 0
                except (DatabaseError, TransientError) as error:
                    if self._clock() > self._ends_at + GIVEN_UP_AFTER:
                        raise
                    self._fail(error)
                else:
                    bell.wait(self._pace.straggler_seconds / 4 if self._is_waiting else self._pace.poll_seconds)
        finally:
            bell.close()

    def _round(self) -> WatchEnd | None:
        """One look at the pump and at what was committed; how the watch ended, or None while it goes on."""
        if (ended := self._follow()) is not None:
            return ended
        if self._clock() > self._ends_at:
            return self._over()
        newest = newest_buckets(self._engine, self._order.exchanges, self._clock(), self._pace.straggler_seconds)
        self._is_waiting = any(bucket.is_waiting for bucket in newest.values())
        ticks = self._rank({exchange: bucket.bucket_end_at for exchange, bucket in newest.items()})
        if self._markets and not any(market.symbols for market in self._markets.values()):
            return self.end(
                "failed", f"no candidates on {', '.join(self._order.exchanges)}: its markets are not listed in core.instruments"
            )
        for tick in ticks:
            self._active = max(self._active, int(tick.ranking.is_active.sum()))
            self._alert(tick)
            self._on_tick(tick)
        return None

    @property
    def _ends_at(self) -> datetime:
        start = self._order.scheduled_at
        early = min(start, self._released.released_at) if self._released else start
        return early + AFTER_START + timedelta(seconds=self._pace.grace_seconds)

    def _follow(self) -> WatchEnd | None:
        """Does what the pump's row says now."""
        order, now = self._order, self._clock()
        if order.pump_id is not None:
            pump = read_pump(self._engine, order.pump_id)
            if pump is None:
                return self.end("postponed", "it is no longer scheduled under this id: a time was given, or announcements were joined")
            if pump.status == "cancelled":
                self._tell(cancelled_alert, self._engine, self._settings, order)
                return self.end("cancelled", "the pump was called off")
            if pump.status not in (*OPEN, "released"):
                return self.end("cancelled", f"the pump is {pump.status}")
            exchanges = exchanges_of(pump, self._settings)
            lead = timedelta(seconds=self._settings.watch_lead_seconds)
            is_moved_far = pump.scheduled_at != order.scheduled_at and not now - AFTER_START < pump.scheduled_at <= now + lead
            if pump.schedule_revision != order.schedule_revision or is_moved_far:
                return self.end("postponed", f"the pump was moved to {pump.scheduled_at:%Y-%m-%d %H:%M} UTC")
            if not exchanges:
                return self.end("cancelled", f"the pump is on {pump.exchange}, which is not collected")
            self._pump = pump
            if (exchanges, pump.scheduled_at) != (order.exchanges, order.scheduled_at):
                # Channels disagree by minutes, or one named the exchange: the same pump, known better.
                self._order = order._replace(exchanges=exchanges, scheduled_at=pump.scheduled_at)
                follow(self._engine, self._held.lease, self._order)
        if self._released is None:
            self._released = self._look_for_release()
        return None

    def _look_for_release(self) -> Released | None:
        """The coin once it is named; then what the watch was worth is written, and told."""
        order = self._order
        released = released_coin(self._engine, order.exchanges, order.scheduled_at, self._pump)
        if released is not None:
            evaluate(self._engine, order.watch_id, now=self._clock())
            self._tell(released_alert, self._engine, self._settings, order, released.event_id)
            log.info("%s: %s was released at %s", order.watch_id, released.symbol, released.released_at)
        return released

    def _rank(self, newest: dict[str, datetime | None]) -> list[RankedTick]:
        """Ranks the exchanges of which there is a new bucket, side by side; loads those that are not loaded yet."""

        def rank_one(exchange: str) -> RankedTick | None:
            bucket_end_at = newest[exchange]
            market = self._markets.get(exchange)
            if market is None:
                market = WatchedMarket(self._engine, exchange, self._rule, bucket_end_at or _bucket_end(self._clock()))
                self._markets[exchange] = market
            return None if bucket_end_at is None else market.rank(self._held.lease, self._order, bucket_end_at)

        exchanges = self._order.exchanges
        self._markets = {exchange: market for exchange, market in self._markets.items() if exchange in exchanges}
        if len(exchanges) == 1:
            found = [rank_one(exchanges[0])]
        else:
            with ThreadPoolExecutor(len(exchanges), thread_name_prefix="watch") as threads:
                found = list(threads.map(rank_one, exchanges))
        return [tick for tick in found if tick is not None]

    def _alert(self, tick: RankedTick) -> None:
        """Queues who stands in front: at the first tick, and when one leads clearly shortly before the start."""
        queued = (self._engine, self._settings, self._order, tick.exchange, tick.bucket_end_at, tick.ranking, tick.symbols, tick.rule)
        if tick.exchange not in self._told:
            self._tell(candidates_alert, *queued)
            self._told.add(tick.exchange)
        if self._released is None and tick.lead_seconds <= SUSPECTED_SECONDS and leads_clearly(tick):
            self._tell(suspected_alert, *queued)

    def _tell(self, queue: Callable[..., bool], *arguments: object) -> None:
        """Queues an alert. Whatever goes wrong with it, the watch goes on: a ranking without its alert is worth more than none."""
        try:
            queue(*arguments)
        except Exception as error:
            log.exception("%s: %s was not queued", self._order.watch_id, queue.__name__)
            self._last_error = f"{queue.__name__}: {error}"

    def _stopped(self) -> WatchEnd:
        if self._order.pump_id is None:
            return self.end("over", "ended by hand")
        return WatchEnd(None, "stopped; its pump is left to the next attempt")

    def _over(self) -> WatchEnd:
        detail = [] if self._active else ["no coin had enough history: all ranks were neutral"]
        if self._last_error:
            detail.append(f"last trouble: {self._last_error}")
        if self._released is None:
            ended = self.end("over", "; ".join(["nothing was released", *detail]))
        else:
            ended = self.end("released", "; ".join([f"{self._released.symbol} was released", *detail]))
        self._tell(over_alert, self._engine, self._settings, self._order, ended.detail)
        return ended

    def end(self, state: State, detail: str) -> WatchEnd:
        """Writes how it ended, and what it was worth; while the database is away it is tried again for as long as the lease lasts."""
        failures = 0
        while True:
            try:
                ended = end(self._engine, self._held.lease, self._order.watch_id, state, detail, self._clock())
                evaluate(self._engine, self._order.watch_id, now=self._clock())
                break
            except DatabaseError as error:
                failures += 1
                if failures * self._pace.longest_retry_seconds > 2 * self._pace.lease_seconds:
                    raise
                log.warning("%s: cannot be ended yet: %s", self._order.watch_id, error)
                self._stop.wait(self._pace.longest_retry_seconds)
        log.info("%s: %s, %s", self._order.watch_id, state, detail)
        return ended

    def _fail(self, error: Exception) -> None:
        self._failures += 1
        self._last_error = str(error)
        log.warning("%s: %s", self._order.watch_id, error)
        self._stop.wait(min(self._pace.retry_seconds * 2 ** (self._failures - 1), self._pace.longest_retry_seconds))


def leads_clearly(tick: RankedTick) -> bool:
    """Whether the first is far above the mean of all candidates, and above the second."""
    scores = sorted(tick.ranking.score.tolist(), reverse=True)
    return len(scores) > 1 and scores[0] >= LEADING_SCORE and scores[0] - scores[1] >= LEADING_MARGIN


def _bucket_end(now: datetime) -> datetime:
    """End of the last bucket that is over."""
    return datetime.fromtimestamp(now.timestamp() // BUCKET_SECONDS * BUCKET_SECONDS, UTC)
