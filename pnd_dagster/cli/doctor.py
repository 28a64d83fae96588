"""`pnd doctor`: what works, what does not, and how to mend it."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from collections.abc import Callable
from typing import Annotated, NamedTuple

import polars as pl
import typer

from pnd_dagster.cli.console import print_json, print_table
from pnd_dagster.errors import PndError
from pnd_dagster.settings import Settings, load_settings


class Finding(NamedTuple):
    """One thing looked at: ok, off (optional and not set up) or broken."""

    subject: str
    state: str
    detail: str
    remedy: str = ""


def doctor(as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
    """Check this installation; exit code 1 if something is broken."""
    findings = examine()
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        print_table(pl.DataFrame(findings, orient="row", schema=list(Finding._fields)), "pnd doctor")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)


def examine() -> list[Finding]:
    """Looks at everything a user may have to mend, each on its own."""
    python = Finding("python", "ok" if sys.version_info >= (3, 11) else "broken", sys.version.split()[0], "Python 3.11 or newer")
    try:
        settings = load_settings()
    except PndError as error:
        return [python, Finding("settings", "broken", str(error), "correct it in .env or the environment; see .env.example")]
    checks: dict[str, Callable[[Settings], Finding]] = {
        "database": _database,
        "disk": _disk,
        "classifier": _classifier,
        "training": _training,
        "language model": _language_model,
        "archives": _archives,
        "telegram": _telegram,
        "tgstat": _tgstat,
        "exchanges": _exchanges,
        "collectors": _collectors,
        "ranking": _ranking,
        "alerts": _alerts,
        "lunarcrush": _lunarcrush,
        "coinmarketcap": _coinmarketcap,
        "warehouse": _warehouse,
        "dagster": _dagster,
    }
    findings = [python, Finding("settings", "ok", f"home {settings.home}")]
    for subject, check in checks.items():
        try:
            findings.append(check(settings))
        except PndError as error:
            findings.append(Finding(subject, "broken", str(error), "see the message"))
    return findings


def _database(settings: Settings) -> Finding:
    from pnd_dagster.storage import connect, count_rows
    from pnd_dagster.storage.schema import drift
    from pnd_dagster.tables import TELEGRAM_MESSAGES

    engine = connect(settings)
    if differences := drift(engine):
        return Finding("database", "broken", f"{len(differences)} differences from the declared tables: {differences[0]}", "pnd db upgrade")
    count = count_rows(engine, TELEGRAM_MESSAGES)
    kind = "embedded server" if settings.database_url is None else "server of PND_DATABASE_URL"
    return Finding("database", "ok", f"{kind} at {engine.url.host}:{engine.url.port}, {count} message revisions")


def _disk(settings: Settings) -> Finding:
    free = shutil.disk_usage(settings.home if settings.home.exists() else settings.home.anchor).free / 1e9
    return Finding("disk", "ok" if free > 2 else "broken", f"{free:.0f} GB free", "" if free > 2 else "free some space, or move PND_HOME")


def _classifier(settings: Settings) -> Finding:
    from pnd_dagster.messages.classifier import chosen_model_dir, load_classifier

    folder = chosen_model_dir(settings)
    kind = (
        "of PND_MODEL_DIR"
        if folder == settings.model_dir
        else "promoted"
        if folder == settings.promoted_model_dir
        else "the one that ships"
    )
    if folder == settings.model_dir and settings.promoted_model_dir.exists():
        kind += "; the promoted model is not used while that is set"
    return Finding("classifier", "ok", f"version {load_classifier(folder).version}, {kind}")


def _training(settings: Settings) -> Finding:
    missing = [name for name in ("torch", "transformers", "peft", "onnx") if importlib.util.find_spec(name) is None]
    if missing:
        return Finding(
            "training", "off", f"not installed: {', '.join(missing)}", "pip install 'pnd-dagster[train]' to train the classifier"
        )
    if settings.training_dir is not None and not (settings.training_dir / "author_labels.parquet").exists():
        return Finding("training", "broken", f"no author_labels.parquet in {settings.training_dir}", "correct PND_TRAINING_DIR")
    labels = "label files of PND_TRAINING_DIR" if settings.training_dir else "labels of `pnd review` alone"
    return Finding("training", "ok", f"{labels}, encoder {settings.encoder or 'all-MiniLM-L6-v2, offline'}")


def _language_model(settings: Settings) -> Finding:
    if settings.openai_api_key is None:
        return Finding(
            "language model", "off", "no key: what the classifier abstains from waits for `pnd review`", "set PND_OPENAI_API_KEY"
        )
    return Finding(
        "language model", "ok", f"{settings.openai_model} at {settings.openai_url}, at most {settings.openai_usd_per_day:g} USD a day"
    )


def _archives(settings: Settings) -> Finding:
    if not settings.archives:
        return Finding("archives", "off", "PND_ARCHIVES is not set", "name message files in PND_ARCHIVES, or use `pnd import FILE`")
    missing = [str(path) for path in settings.archives if not path.exists()]
    if missing:
        return Finding("archives", "broken", f"no such file: {', '.join(missing)}", "correct PND_ARCHIVES")
    return Finding("archives", "ok", ", ".join(path.name for path in settings.archives))


def _telegram(settings: Settings) -> Finding:
    if settings.telegram_api_id is None or settings.telegram_api_hash is None:
        return Finding("telegram", "off", "no API keys", "set PND_TELEGRAM_API_ID and PND_TELEGRAM_API_HASH from my.telegram.org")
    from pnd_dagster.telegram.sessions import session_file

    files = {purpose: session_file(settings, purpose) for purpose in ("listen", "history")}
    for file in files.values():
        if file.exists() and (mode := file.stat().st_mode & 0o777) != 0o600:
            return Finding("telegram", "broken", f"{file} has mode {mode:o}", f"chmod 600 {file}")
    if missing := [purpose for purpose, file in files.items() if not file.exists()]:
        return Finding("telegram", "off", f"not logged in for: {', '.join(missing)}", "pnd login, and pnd login --history")
    return Finding("telegram", "ok", f"sessions {', '.join(map(str, files.values()))}")


def _tgstat(settings: Settings) -> Finding:
    if settings.tgstat_token is None:
        return Finding("tgstat", "off", "no token", "set PND_TGSTAT_TOKEN to search for channels")
    return Finding("tgstat", "ok", f"token set, {settings.tgstat_url}")


def _exchanges(settings: Settings) -> Finding:
    import ccxt

    if unknown := [name for name in settings.exchanges if name not in ccxt.exchanges]:
        return Finding(
            "exchanges", "broken", f"ccxt does not know {', '.join(unknown)}", "correct PND_EXCHANGES; ccxt.exchanges lists them"
        )
    if settings.exchange_url is None:
        return Finding("exchanges", "ok", f"{', '.join(settings.exchanges)}; the real ones, ccxt {ccxt.__version__}")
    import requests

    try:
        requests.get(settings.exchange_url, timeout=5)
    except requests.RequestException as error:
        reason = f"{settings.exchange_url}: {type(error).__name__}"
        return Finding("exchanges", "broken", reason, "start `pnd simulate` and copy its address, or empty PND_EXCHANGE_URL")
    return Finding("exchanges", "ok", f"{', '.join(settings.exchanges)}; simulated at {settings.exchange_url}")


def _collectors(settings: Settings) -> Finding:
    import sqlalchemy as sa

    from pnd_dagster.storage import connect, read_frame
    from pnd_dagster.tables import HEARTBEATS

    try:
        engine = connect(settings)
    except PndError:
        return Finding("collectors", "off", "unknown without the database", "mend the database first")
    beat = HEARTBEATS.c
    age = sa.cast(sa.extract("epoch", sa.func.now() - beat.beat_at), sa.Double)
    beats = read_frame(
        engine,
        sa.select(beat.name, age.label("age_seconds"), beat.lag_seconds, beat.is_healthy).where(
            beat.name.startswith("collect:"), beat.details["state"].astext != "stopped"
        ),
    ).filter(pl.col("age_seconds") < 86_400)
    if beats.is_empty():
        return Finding("collectors", "off", "none is running", "pnd collect --exchange all")
    silent = beats.filter((pl.col("age_seconds") > 60) | ~pl.col("is_healthy"))
    if not silent.is_empty():
        return Finding(
            "collectors", "broken", f"silent or not healthy: {', '.join(silent['name'])}", "look at their output; `pnd collect` again"
        )
    return Finding("collectors", "ok", f"{beats.height} running, lag at most {beats['lag_seconds'].max() or 0:.2f} s")


def _ranking(settings: Settings) -> Finding:
    import sqlalchemy as sa

    from pnd_dagster.ranking.rules import rule_by_name
    from pnd_dagster.storage import connect, read_frame
    from pnd_dagster.tables import INSTRUMENTS, METRIC_ROLLUPS

    rule, rollup = rule_by_name(settings.score_rule), METRIC_ROLLUPS.c
    try:
        engine = connect(settings)
    except PndError:
        return Finding("ranking", "off", "unknown without the database", "mend the database first")
    hours = read_frame(
        engine,
        sa.select(INSTRUMENTS.c.exchange, sa.func.count(rollup.hour_end_at.distinct()).label("hours"))
        .join(METRIC_ROLLUPS, rollup.instrument_id == INSTRUMENTS.c.instrument_id)
        .where(rollup.hour_end_at > sa.func.now() - sa.text("interval '72 hours'"))
        .group_by(INSTRUMENTS.c.exchange)
        .order_by(INSTRUMENTS.c.exchange),
    )
    if hours.is_empty():
        return Finding(
            "ranking", "off", "no history of the last 72 hours: every coin would be neutral", "let `pnd collect` run for some hours"
        )
    known = ", ".join(f"{exchange} {count} h" for exchange, count in hours.iter_rows())
    return Finding("ranking", "ok", f"rule {rule.name}; history of the last 72 hours: {known}")


def _alerts(settings: Settings) -> Finding:
    if settings.alert_webhook_url is not None and settings.alert_webhook_secret is None:
        return Finding("alerts", "broken", "webhook alerts would not be signed", "set PND_ALERT_WEBHOOK_SECRET")
    if bool(settings.alert_email_to) != (settings.smtp_url is not None):
        return Finding("alerts", "broken", "e-mail needs both PND_ALERT_EMAIL_TO and PND_SMTP_URL", "set both, or none")
    channels = ["file", "log"]
    channels += ["webhook"] if settings.alert_webhook_url is not None else []
    channels += ["e-mail"] if settings.alert_email_to else []
    return Finding("alerts", "ok", f"to {', '.join(channels)}; `pnd alert test` tries them")


def _lunarcrush(settings: Settings) -> Finding:
    if settings.lunarcrush_key is None:
        return Finding("lunarcrush", "off", "no key", "set PND_LUNARCRUSH_KEY to collect social metrics")
    return Finding("lunarcrush", "ok", f"key set, {settings.lunarcrush_url}")


def _coinmarketcap(settings: Settings) -> Finding:
    if settings.coinmarketcap_key is None:
        return Finding("coinmarketcap", "off", "no key: every coin counts as unreported", "set PND_COINMARKETCAP_KEY")
    return Finding("coinmarketcap", "ok", f"key set, {settings.coinmarketcap_url}")


def _warehouse(settings: Settings) -> Finding:
    from pnd_dagster.storage.roles import bi_problem
    from pnd_dagster.warehouse.project import manifest_problem

    if problem := manifest_problem():
        return Finding("warehouse", "broken", problem, "python -m pnd_dagster.resources.dbt_graph")
    try:
        problem = bi_problem(settings)
    except PndError as error:
        return Finding("warehouse", "off", str(error), "pnd db bi")
    if problem:
        return Finding("warehouse", "broken", problem, "pnd db bi")
    return Finding("warehouse", "ok", "the dbt project is parsed, BI tools may read; `pnd db bi` says how they connect")


def _dagster(settings: Settings) -> Finding:
    if importlib.util.find_spec("dagster_webserver") is None:
        return Finding("dagster", "broken", "dagster-webserver is not installed", "make install")
    with socket.socket() as probe:
        is_taken = probe.connect_ex(("127.0.0.1", settings.ui_port)) == 0
    if is_taken:
        return Finding("dagster", "ok", f"something listens on port {settings.ui_port}: the UI, or set PND_UI_PORT to another port")
    return Finding("dagster", "ok", f"port {settings.ui_port} is free; `pnd ui` serves it")
