"""The demo's live pump: it is announced, watched, ranked, released and told of, each by the services that `pnd up` runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

import polars as pl
import sqlalchemy as sa

from pnd_dagster.cli.console import OUT, fail, print_table, say
from pnd_dagster.cli.readiness import missing_services
from pnd_dagster.cli.simulated_world import CHANNEL_TITLE, COINS, SEED, SimulatedWorld
from pnd_dagster.cli.up import log_folder
from pnd_dagster.storage import read_frame
from pnd_dagster.tables import (
    ALERTS,
    CANDIDATE_COINS,
    INSTRUMENTS,
    PUMP_EVENTS,
    RANKING_TICKS,
    SCHEDULED_PUMPS,
    TELEGRAM_CHANNELS,
    WATCH_RESULTS,
    WATCHES,
)

if TYPE_CHECKING:
    from pnd_dagster.settings import Settings
    from pnd_dagster.simulator.live_pump import Post

# The busiest two; a pump within minutes of another one on its exchange would be taken for the same.
EXCHANGES, QUOTE = ("kucoin", "mexc"), "USDT"
APART = timedelta(minutes=20)
# From the announcement to the start, at least; the start is on a full minute.
AHEAD_SECONDS = 70.0
SERVICES_SECONDS, STORY_SECONDS = 300.0, 60.0
LOOK_SECONDS = 0.5
TOP = 5
RECENT = timedelta(hours=6)
_ALERTED = ("announced", "candidates", "released")


class Stage(NamedTuple):
    """A part of the story: what is reached, whose log to look into if it is not, and what is seen of it so far (None until then)."""

    name: str
    log: str
    seen: Callable[[], str | None]


def play_story(configured: Settings, engine: sa.Engine, world: SimulatedWorld) -> str | None:
    """Plays a pump from its announcement to the alerts, and shows it.

    Args:
        configured: lead to the simulated world.
        engine: its database.
        world: what is played in.

    Returns:
        The watched pump's id; None if a part of the story did not come in time, which is said.
    """
    from pnd_dagster.simulator.live_pump import live_posts, next_start

    _follow_channel(engine, world.channel_id)
    if not _wait_for_services(configured, engine):
        return None
    announced_at = datetime.now(UTC)
    exchange, symbol = choose_coin(engine, announced_at)
    scheduled_at = next_start(announced_at, lead_seconds=AHEAD_SECONDS)
    world.exchanges.control("pump", exchange=exchange, base=symbol, seconds=(scheduled_at - announced_at).total_seconds())
    posts = live_posts(exchange, symbol, QUOTE, announced_at=announced_at, scheduled_at=scheduled_at)
    say(f"a pump of a coin on {exchange} is announced for {scheduled_at:%H:%M} UTC; whom do the markets give away before it is named?")
    story = _Story(configured, engine, world, scheduled_at, exchange, symbol)
    return story.play(posts)


def choose_coin(engine: sa.Engine, now: datetime) -> tuple[str, str]:
    """Exchange and base of a candidate whose scripted pump has many orders, so that there is something to see.

    Namesakes are left out, and coins that were released in the last hours, since another release of them would belong to the same event.

    Raises:
        SourceError: there are no candidates.
    """
    from pnd_dagster.errors import SourceError
    from pnd_dagster.simulator.exchanges.pumps import row_for
    from pnd_dagster.simulator.universe import make_universe

    candidate, listing, event, pump = CANDIDATE_COINS.c, INSTRUMENTS.c, PUMP_EVENTS.c, SCHEDULED_PUMPS.c
    busy = read_frame(engine, sa.select(pump.exchange).where(pump.scheduled_at > now - APART))["exchange"].to_list()
    exchange = next((one for one in EXCHANGES if one not in busy), EXCHANGES[0])
    latest = sa.select(sa.func.max(candidate.as_of_date)).scalar_subquery()
    listed = read_frame(
        engine,
        sa.select(listing.base_symbol)
        .join_from(CANDIDATE_COINS, INSTRUMENTS, listing.instrument_id == candidate.instrument_id)
        .where(listing.exchange == exchange, listing.valid_to.is_(None), candidate.as_of_date == latest, candidate.is_candidate),
    )["base_symbol"].to_list()
    own = {it.base for it in make_universe(SEED, COINS).listings[exchange] if not it.coin.is_leveraged and not it.coin.is_major}
    recent = read_frame(engine, sa.select(event.symbol).where(event.last_released_at > now - RECENT))["symbol"].to_list()
    bases = sorted(own.difference(recent).intersection(base for base in listed if listed.count(base) == 1))
    if not bases:
        raise SourceError(f"no candidates are left on {exchange}: the main job did not end well, or all were pumped in the last hours")

    def orders(base: str) -> float:
        row = row_for(exchange, base)
        return row.total_volume_pump_day / (row.price_ratio * row.order_value_7_days * row.order_size_ratio)

    return exchange, max(bases, key=orders)


class _Story:
    """A pump that plays."""

    def __init__(
        self, configured: Settings, engine: sa.Engine, world: SimulatedWorld, scheduled_at: datetime, exchange: str, symbol: str
    ) -> None:
        self._engine, self._world, self._scheduled_at = engine, world, scheduled_at
        self._exchange, self._symbol, self._announced_at = exchange, symbol, datetime.now(UTC)
        self._logs = log_folder(configured)
        self._pump_id: str | None = None
        self._shown: set[int] = set()
        self._stages = (
            Stage("announced", "listen", self._announced),
            Stage("watched", "dagster", self._watched),
            Stage("ranked", "dagster", self._ranked),
            Stage("released", "listen", self._released),
            Stage("evaluated", "dagster", self._evaluated),
            Stage("alerted", "deliver", self._alerted),
        )

    def play(self, posts: list[Post]) -> str | None:
        waiting, reached = list(posts), dict[str, str]()
        ends_at = self._scheduled_at + timedelta(seconds=STORY_SECONDS)
        while (waiting or len(reached) < len(self._stages)) and (now := datetime.now(UTC)) < ends_at:
            while waiting and waiting[0].at <= now:
                post = waiting.pop(0)
                self._world.telegram.control("post", channel_id=self._world.channel_id, text=post.text)
                say(f"{now:%H:%M:%S} {CHANNEL_TITLE}, {post.kind}: {' '.join(post.text.split())[:100]}")
            for stage in self._stages:
                if stage.name not in reached and (seen := stage.seen()) is not None:
                    reached[stage.name] = seen
                    say(f"{datetime.now(UTC):%H:%M:%S} {stage.name}: {seen}")
            self._show_ranking()
            time.sleep(LOOK_SECONDS)
        for stage in self._stages:
            if stage.name not in reached:
                fail(f"the pump was not {stage.name} in time; see {self._logs / stage.log}.log")
        return self._pump_id if len(reached) == len(self._stages) else None

    def _announced(self) -> str | None:
        pump = SCHEDULED_PUMPS.c
        is_ours = sa.and_(pump.exchange == self._exchange, pump.channel_ids.contains([self._world.channel_id]))
        row = self._first(sa.select(pump.pump_id, pump.scheduled_at, pump.first_announced_at).where(is_ours))
        if row is None or row.scheduled_at != self._scheduled_at:
            return None
        self._pump_id = row.pump_id
        return f"pump {row.pump_id} on {self._exchange} at {row.scheduled_at:%H:%M} UTC was read from the channel"

    def _watched(self) -> str | None:
        row = self._first(sa.select(WATCHES.c.started_at, WATCHES.c.watch_id).where(WATCHES.c.pump_id == self._pump_id))
        return None if row is None else f"watch {row.watch_id} runs, {self._lead(row.started_at)}"

    def _ranked(self) -> str | None:
        tick = RANKING_TICKS.c
        row = self._first(
            sa.select(tick.lead_seconds, tick.candidates, tick.active)
            .join_from(RANKING_TICKS, WATCHES, WATCHES.c.watch_id == tick.watch_id)
            .where(WATCHES.c.pump_id == self._pump_id)
            .order_by(tick.bucket_end_at)
        )
        return (
            None
            if row is None
            else f"{row.candidates} candidates, {row.active} of them with history, first {row.lead_seconds:.0f} s before"
        )

    def _released(self) -> str | None:
        event = PUMP_EVENTS.c
        is_ours = sa.and_(event.symbol == self._symbol, event.channel_ids.contains([self._world.channel_id]))
        row = self._first(sa.select(event.event_id, event.released_at).where(is_ours))
        return None if row is None else f"{self._symbol}, event {row.event_id}"

    def _evaluated(self) -> str | None:
        result = WATCH_RESULTS.c
        rows = self._all(
            sa.select(result.offset_seconds, result.rank, result.candidates)
            .join_from(WATCH_RESULTS, WATCHES, WATCHES.c.watch_id == result.watch_id)
            .where(WATCHES.c.pump_id == self._pump_id, result.rank.is_not(None))
            .order_by(result.offset_seconds)
        )
        places = [f"{row.rank:.0f} of {row.candidates} {row.offset_seconds} s before" for row in rows]
        return f"{self._symbol} stood at {', '.join(places)}" if places else None

    def _alerted(self) -> str | None:
        alert = ALERTS.c
        stages = self._all(sa.select(alert.stage).distinct().where(alert.state == "sent", alert.created_at >= self._announced_at))
        told = {row.stage for row in stages}
        return f"sent: {', '.join(sorted(told))}" if told.issuperset(_ALERTED) else None

    def _show_ranking(self) -> None:
        """A line per tick: who stands in front."""
        from pnd_dagster.ranking.store import read_ranking

        tick = RANKING_TICKS.c
        rows = self._all(
            sa.select(tick.ranking_id, tick.lead_seconds)
            .join_from(RANKING_TICKS, WATCHES, WATCHES.c.watch_id == tick.watch_id)
            .where(WATCHES.c.pump_id == self._pump_id, tick.ranking_id.not_in(self._shown))
            .order_by(tick.bucket_end_at)
        )
        for row in rows:
            self._shown.add(row.ranking_id)
            leaders = read_ranking(self._engine, row.ranking_id, top=TOP)
            places = [f"{place['rank']:.0f} {place['base_symbol']} {place['score']:+.1f}" for place in leaders.iter_rows(named=True)]
            side = "before" if row.lead_seconds >= 0 else "after"
            OUT.print(f"  {abs(row.lead_seconds):3.0f} s {side} the start:  {'   '.join(places)}", highlight=False, soft_wrap=True)

    def _lead(self, at: datetime) -> str:
        return f"{(self._scheduled_at - at).total_seconds():.0f} s before the start"

    def _first(self, statement: sa.Select[tuple[object, ...]]) -> sa.Row[tuple[object, ...]] | None:
        with self._engine.connect() as connection:
            return connection.execute(statement.limit(1)).first()

    def _all(self, statement: sa.Select[tuple[object, ...]]) -> list[sa.Row[tuple[object, ...]]]:
        with self._engine.connect() as connection:
            return list(connection.execute(statement).all())


def show_alerts(engine: sa.Engine, since: datetime) -> None:
    """The alert log of a span."""
    alert = ALERTS.c
    frame = read_frame(
        engine,
        sa.select(alert.created_at, alert.stage, alert.channel, alert.state, alert.title)
        .where(alert.created_at >= since)
        .order_by(alert.created_at, alert.channel),
    )
    print_table(frame.with_columns(pl.col("created_at").dt.strftime("%H:%M:%S")), "Alerts (UTC)")


def _follow_channel(engine: sa.Engine, channel_id: int) -> None:
    """Has the listener follow the live channel, as a human's `pnd channels validate` would, and those of earlier demos no more."""
    channel, now = TELEGRAM_CHANNELS.c, datetime.now(UTC)
    row = {"channel_id": channel_id, "title": CHANNEL_TITLE, "username": f"lighthouse_{channel_id}", "found_via": "simulated"}
    with engine.begin() as connection:
        connection.execute(sa.update(TELEGRAM_CHANNELS).where(channel.title == CHANNEL_TITLE).values(status="rejected", decided_at=now))
        connection.execute(
            sa.insert(TELEGRAM_CHANNELS).values(**row, status="validated", is_vanished=False, discovered_at=now, decided_at=now)
        )


def _wait_for_services(configured: Settings, engine: sa.Engine) -> bool:
    """Until all that the story needs is at work; says what is missing."""
    deadline = time.monotonic() + SERVICES_SECONDS
    missing = dict[str, str]()
    while time.monotonic() < deadline:
        if not (missing := missing_services(configured, engine)):
            return True
        time.sleep(1)
    for name, reason in missing.items():
        fail(f"{name}: {reason}; see {log_folder(configured) / name}.log")
    return False
