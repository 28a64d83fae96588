"""`pnd analysis`: the paper's tables and figures, on what this installation holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pnd_dagster.cli.console import OUT, print_json, progress, say
from pnd_dagster.errors import SettingError


def analysis(
    names: Annotated[list[str] | None, typer.Argument(help="Of these only, e.g. price_spikes; default: all.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the Parquet, PNG and Markdown files. Default: analysis in PND_HOME.")] = None,
    trades: Annotated[Path | None, typer.Option(help="Parquet of tick trades around pumps. Default: PND_BACKTEST_TRADES.")] = None,
    events: Annotated[Path | None, typer.Option(help="CSV of those pumps. Default: PND_BACKTEST_EVENTS.")] = None,
    candles: Annotated[Path | None, typer.Option(help="Parquet of daily candles beside raw.ohlcv_daily.")] = None,
    social: Annotated[Path | None, typer.Option(help="Parquet of daily social data instead of raw.lunarcrush_snapshots.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON document on standard output.")] = False,
) -> None:
    """Compute the paper's tables and figures from the database and the files given, with the paper's values beside."""
    from pnd_dagster.analysis.catalogue import ANALYSES
    from pnd_dagster.analysis.results import as_markdown, export
    from pnd_dagster.analysis.sources import Files, sources_of
    from pnd_dagster.settings import settings
    from pnd_dagster.storage import connect
    from pnd_dagster.storage.files import writable

    known = [analysis.name for analysis in ANALYSES]
    if unknown := [name for name in names or [] if name not in known]:
        raise SettingError(f"no analysis {unknown[0]}; there is {', '.join(known)}")
    if (trades is None) != (events is None):
        raise SettingError("--trades and --events belong together; give both or none")
    sources = sources_of(connect(settings()), settings())
    own = Files(trades or sources.files.trades, events or sources.files.trade_events, candles, social)
    sources = sources._replace(files=own)
    folder = writable(out or settings().home / "analysis")
    chosen = [analysis for analysis in ANALYSES if not names or analysis.name in names]
    document, told = list[str](), dict[str, object]()
    with progress() as bar:
        task = bar.add_task("reading", total=len(chosen))
        for one in chosen:
            bar.update(task, description=one.name)
            result = one.compute(sources)
            written = export(result, folder, one.stem)
            bar.advance(task)
            told[one.name] = {"notes": result.notes, "files": [str(path) for path in written]}
            document += [f"# {one.title}", *(f"- {note}" for note in result.notes)]
            document += [f"\n## {name}\n\n{as_markdown(frame)}\n" for name, frame in result.tables.items()]
            document += [f"![{name}]({one.stem}.{name}.png)\n" for name in result.figures]
    report = folder / "analysis.md"
    report.write_text("\n".join(document) + "\n", encoding="utf-8")
    if as_json:
        print_json(told)
        return
    for name, about in told.items():
        notes = about["notes"] if isinstance(about, dict) else []
        OUT.print(f"{name}: {'; '.join(map(str, notes)) or 'done'}", markup=False, highlight=False, soft_wrap=True)
    say(f"{report}, and {len(list(folder.iterdir())) - 1} files beside it")
