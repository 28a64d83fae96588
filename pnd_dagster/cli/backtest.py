"""`pnd backtest`: where the pumped coin would have stood, on past pumps."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pnd_dagster.cli.console import OUT, print_json, print_table, progress, say
from pnd_dagster.errors import SettingError

RESULT_COLUMNS = (
    *("offset_seconds", "rule", "source", "n", "pool_size", "active_coins", "top1", "top3", "top5", "top10"),
    *("mrr", "mean_percentile", "top5_low", "top5_high"),
)


def backtest(
    trades: Annotated[Path, typer.Option(help="Parquet: event_id, timestamp_ms, side (the taker's), price, amount, btc_volume.")],
    events: Annotated[Path, typer.Option(help="CSV: event_id, event_coin, event_time (UTC unless it names a zone).")],
    books: Annotated[Path | None, typer.Option(help="Parquet: event_id, timestamp_ms, side (bid, ask), level, price, amount.")] = None,
    sources: Annotated[
        str | None, typer.Option(help="Of both, trades, books; separated by commas. Default: trades, with --books all.")
    ] = None,
    offsets: Annotated[str, typer.Option(help="Seconds before the announced start, separated by commas.")] = "20,40,60,300,3600",
    pool: Annotated[int, typer.Option(min=1, help="Windows of other coins that each pumped coin is ranked against.")] = 50,
    draws: Annotated[int, typer.Option(min=1, help="Pools drawn per event.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Of everything that is drawn.")] = 0,
    ablations: Annotated[
        bool, typer.Option("--ablations", help="Also single metrics, single horizons, and the ranking without a clock.")
    ] = False,
    onset: Annotated[
        bool, typer.Option("--onset", help="Count offsets from when the market began to move instead of the announced start.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on standard output.")] = False,
) -> None:
    """Rank the pumped coins of past events against surrogate pools, by the code that ranks live; prints TOP-k with 95% intervals."""
    from pnd_dagster.backtest.backtest import Plan, sources_of
    from pnd_dagster.backtest.backtest import backtest as run_backtest
    from pnd_dagster.backtest.market_data import read_market
    from pnd_dagster.backtest.paper import beside_paper, paper_columns

    seconds = _offsets(offsets)
    with progress() as bar:
        task = bar.add_task("reading", total=None)
        data = read_market(events, trades, books, is_onset=onset)
        chosen = tuple(dict.fromkeys(name.strip() for name in sources.split(","))) if sources else tuple(sources_of(data))
        found = run_backtest(
            data,
            Plan(chosen, seconds, pool, draws, seed, has_ablations=ablations),
            lambda done, all_, what: bar.update(task, completed=done, total=all_, description=what),
        )
    for note in data.notes:
        say(note)
    if as_json:
        columns = ("event_id", "offset_seconds", "rule", "source", "mean_rank")
        print_json({"results": found.results.select(RESULT_COLUMNS).to_dicts(), "events": found.events.select(columns).to_dicts()})
        return
    start = "the market's own start" if onset else "the announced start"
    print_table(beside_paper(found.results), f"TOP-k of {len(data.events)} pumps, seconds before {start}")
    print_table(paper_columns(), "The paper's Table III: other events, Poloniex")
    OUT.print("Surrogate pools: other coins at quiet times of their own. 95% intervals by bootstrap over events.", markup=False)


def _offsets(text: str) -> tuple[int, ...]:
    try:
        offsets = tuple(dict.fromkeys(int(part) for part in text.split(",")))
    except ValueError:
        offsets = ()
    if not offsets or min(offsets) <= 0:
        raise SettingError(f"--offsets {text}: expected whole seconds before the start, each above 0, such as 20,40,60")
    return offsets
