"""Group `conduct`: what pumps came to, how channels hang together and keep their promises, and how easily coins are moved."""

from collections.abc import Iterator
from datetime import UTC, datetime

import dagster as dg
import polars as pl
import sqlalchemy as sa

from pnd_dagster import tables
from pnd_dagster.analysis.coin_store import last_day_of_books, last_day_of_listings, write_flags, write_vulnerability
from pnd_dagster.analysis.coordination_store import write_coordination
from pnd_dagster.analysis.honesty import write_honesty
from pnd_dagster.analysis.network_figure import network
from pnd_dagster.analysis.outcome_store import outcome_figures, write_outcomes
from pnd_dagster.analysis.prior_pumps import repeats, repeats_frame
from pnd_dagster.analysis.results import Result, export
from pnd_dagster.automation.conditions import DAILY_AT_TWO
from pnd_dagster.resources import table_checks, table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.resources.plots import picture
from pnd_dagster.storage import Written, read_frame

OWNERS = ["team:data-platform"]
KINDS = {"polars", "postgres"}


def _core(*names: str) -> list[dg.AssetKey]:
    return [dg.AssetKey(["core", name]) for name in names]


MESSAGES = dg.AssetKey(["raw", "telegram_messages"])
CANDLES = dg.AssetKey(["raw", "ohlcv_daily"])
SNAPSHOTS = dg.AssetKey(["raw", "coinmarketcap_snapshots"])
LINKS, GROUPS = dg.AssetKey(["out", "channel_links"]), dg.AssetKey(["out", "channel_groups"])


@dg.asset(
    key_prefix="out",
    kinds=KINDS,
    owners=OWNERS,
    deps=[*_core("pump_events", "trade_metrics"), CANDLES],
    metadata=table_metadata.declared(tables.PUMP_OUTCOMES),
    automation_condition=DAILY_AT_TWO,
)
def pump_outcomes(database: DatabaseResource) -> dg.MaterializeResult:
    """What each pump came to: peak and time to it, fall, volume ratio, what late buyers lost; by trades, 5 s buckets or candles."""
    with told_to_dagster():
        found = write_outcomes(database.engine, database.settings, datetime.now(UTC))
        shown = outcome_figures(database.engine)
        files = _export(database, Result({"figures": shown}, {}, found.notes), "pump_outcomes")
    return dg.MaterializeResult(
        metadata=_written(tables.PUMP_OUTCOMES, found.written, database, found.notes)
        | {"figures": table_metadata.preview(shown, 30)}
        | files
    )


@dg.multi_asset(
    name="channel_network",
    specs=[
        dg.AssetSpec(
            key,
            deps=[MESSAGES, *_core("pump_releases", "pump_events")],
            description=description,
            kinds={*KINDS, "networkx"},
            owners=OWNERS,
            metadata=table_metadata.declared(table),
            automation_condition=DAILY_AT_TWO,
        )
        for key, table, description in (
            (
                LINKS,
                tables.CHANNEL_LINKS,
                "Who copies, forwards and pumps with whom, who is first, and what chance would give.",
            ),
            (GROUPS, tables.CHANNEL_GROUPS, "Each channel's organiser group, how often it releases first, and whom it repeats."),
        )
    ],
)
def channel_network(database: DatabaseResource) -> Iterator[dg.MaterializeResult]:
    """Compares the texts, forwards and releases of all channels."""
    with told_to_dagster():
        found = write_coordination(database.engine, datetime.now(UTC))
        graph = network(found.links, found.groups)
        result = Result({"links": found.links, "groups": found.groups, "figures": found.figures}, {"graph": graph}, found.notes)
        files = _export(database, result, "channel_network")
    strongest = found.links.filter("is_linked").sort("count", descending=True).head(100)
    yield dg.MaterializeResult(
        asset_key=LINKS,
        metadata=_written(tables.CHANNEL_LINKS, found.links_written, database, found.notes)
        | {
            "graph": picture(graph, "graph of channels"),
            "figures": table_metadata.preview(found.figures),
            "strongest": table_metadata.preview(_titled(database.engine, strongest, "from_channel_id", "to_channel_id"), 100),
        }
        | files,
    )
    by_group = found.groups.sort("group_size", "group_id", "event_count", descending=[True, False, True], nulls_last=True)
    yield dg.MaterializeResult(
        asset_key=GROUPS,
        metadata=_written(tables.CHANNEL_GROUPS, found.groups_written, database, found.notes)
        | {"groups": table_metadata.preview(_titled(database.engine, by_group, "channel_id"), 100)},
    )


@dg.asset(
    key_prefix="out",
    kinds=KINDS,
    owners=OWNERS,
    deps=[pump_outcomes, MESSAGES, *_core("message_labels", "pump_announcements", "pump_releases", "pump_events")],
    metadata=table_metadata.declared(tables.CHANNEL_HONESTY),
    automation_condition=DAILY_AT_TWO,
)
def channel_honesty(database: DatabaseResource) -> dg.MaterializeResult:
    """Promised against realised by channel: pumps that never came, coins that never moved, gains that were promised and seen."""
    with told_to_dagster():
        found = write_honesty(database.engine, datetime.now(UTC))
        files = _export(database, Result({"channels": found.channels, "figures": found.figures}, {}, found.notes), "channel_honesty")
    most = found.channels.sort("announced_count", descending=True).head(100)
    return dg.MaterializeResult(
        metadata=_written(tables.CHANNEL_HONESTY, found.written, database, found.notes)
        | {
            "figures": table_metadata.preview(found.figures, 20),
            "channels": table_metadata.preview(_titled(database.engine, most, "channel_id"), 100),
        }
        | files
    )


@dg.asset(key_prefix="analysis", kinds={"polars", "parquet"}, owners=OWNERS, deps=_core("pump_events", "instruments"))
def prior_pumps(database: DatabaseResource) -> dg.MaterializeResult:
    """Whether coins that were pumped before are pumped again more often than coins drawn blindly from the exchange's listing."""
    event, listing = tables.PUMP_EVENTS.c, tables.INSTRUMENTS.c
    coins = sa.select(listing.exchange, listing.base_symbol.label("symbol")).where(~listing.is_derivative).distinct()
    with told_to_dagster():
        events = read_frame(database.engine, sa.select(event.exchange, event.symbol, event.released_at))
        listed = read_frame(database.engine, coins)
    found = repeats_frame(repeats(events, listed))
    notes = [f"{events.height:,} events; {listed.height:,} listed coins of {listed['exchange'].n_unique()} exchanges"]
    if found.is_empty():
        notes.append("no exchange has both events and a listing: run the job of the market, or `pnd import`")
    with told_to_dagster():
        files = _export(database, Result({"repeats": found}, {}, notes), "prior_pumps")
    return dg.MaterializeResult(metadata={"notes": _list(notes), "repeats": table_metadata.preview(found, 30)} | files)


@dg.asset(
    key_prefix="out",
    kinds=KINDS,
    owners=OWNERS,
    deps=_core("order_book_metrics", "trade_metrics", "candidate_coins", "pump_events"),
    metadata=table_metadata.declared(tables.COIN_VULNERABILITY),
    automation_condition=DAILY_AT_TWO,
)
def coin_vulnerability(database: DatabaseResource) -> dg.MaterializeResult:
    """How easily each coin is moved, as of the last whole day: depth, cost of a rise of 10%, spread, and their places as one score."""
    now = datetime.now(UTC)
    with told_to_dagster():
        found = write_vulnerability(database.engine, last_day_of_books(database.engine, now), now)
    most = found.rows.drop_nulls("score").sort("score", "exchange", "symbol", descending=[True, False, False])
    return dg.MaterializeResult(
        metadata=_written(tables.COIN_VULNERABILITY, found.written, database, found.notes)
        | {"most_easily_moved": table_metadata.preview(most, 50)}
    )


@dg.asset(
    key_prefix="out",
    kinds=KINDS,
    owners=OWNERS,
    deps=[*_core("instruments", "coin_links", "candidate_coins"), SNAPSHOTS, CANDLES],
    metadata=table_metadata.declared(tables.COIN_FLAGS),
    automation_condition=DAILY_AT_TWO,
)
def coin_flags(database: DatabaseResource) -> dg.MaterializeResult:
    """Warning signs of the general guides, as of the last whole day: no metadata, unreported cap, unexplained swing, thin trading, ..."""
    now = datetime.now(UTC)
    with told_to_dagster():
        found = write_flags(database.engine, last_day_of_listings(database.engine, now), now)
    by_flag = found.rows["flag"].value_counts(sort=True)
    return dg.MaterializeResult(
        metadata=_written(tables.COIN_FLAGS, found.written, database, found.notes)
        | {"by_flag": table_metadata.preview(by_flag), "flags": table_metadata.preview(found.rows.drop("as_of_date"), 100)}
    )


def _written(table: sa.Table, written: Written, database: DatabaseResource, notes: list[str]) -> dict[str, dg.MetadataValue | int]:
    return table_metadata.written(table, written, database.engine) | {"notes": _list(notes)}


def _list(notes: list[str]) -> dg.MetadataValue:
    return dg.MetadataValue.md("\n".join(f"- {note}" for note in notes))


def _export(database: DatabaseResource, result: Result, stem: str) -> dict[str, str]:
    folder = database.settings.home / "analysis"
    return {"folder": str(folder), "files": ", ".join(path.name for path in export(result, folder, stem))}


def _titled(engine: sa.Engine, frame: pl.DataFrame, *ids: str) -> pl.DataFrame:
    """`frame` with the channels' titles, as they call themselves, before it."""
    channel = tables.TELEGRAM_CHANNELS.c
    titles = read_frame(engine, sa.select(channel.channel_id, channel.title))
    for name in reversed(ids):
        title = name.removesuffix("channel_id") + "title"
        frame = frame.join(titles.rename({"channel_id": name, "title": title}), on=name, how="left", maintain_order="left")
        frame = frame.select(title, pl.exclude(title))
    return frame


CHECKS = [
    table_checks.schema_check(pump_outcomes.key, tables.PUMP_OUTCOMES),
    table_checks.schema_check(LINKS, tables.CHANNEL_LINKS),
    table_checks.schema_check(GROUPS, tables.CHANNEL_GROUPS),
    table_checks.schema_check(channel_honesty.key, tables.CHANNEL_HONESTY),
    table_checks.schema_check(coin_vulnerability.key, tables.COIN_VULNERABILITY),
    table_checks.schema_check(coin_flags.key, tables.COIN_FLAGS),
    table_checks.expectation_check(
        pump_outcomes.key,
        tables.PUMP_OUTCOMES,
        [
            {"type": "expect_column_values_to_be_between", "column": "drawdown_ratio", "min_value": -1, "max_value": 0},
            {"type": "expect_column_values_to_be_between", "column": "seconds_to_peak", "min_value": 0, "max_value": 3600},
        ],
    ),
    table_checks.expectation_check(
        coin_vulnerability.key,
        tables.COIN_VULNERABILITY,
        [
            {"type": "expect_column_values_to_be_between", "column": "score", "min_value": 0, "max_value": 1},
            {"type": "expect_column_values_to_be_between", "column": "relative_spread", "min_value": 0, "max_value": 2},
        ],
    ),
]
