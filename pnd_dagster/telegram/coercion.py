"""Untrusted columns of any type made into the types of `ROW_SCHEMA`; what does not fit is told row by row, never dropped in silence."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import NamedTuple

import polars as pl

from pnd_dagster.errors import SourceError
from pnd_dagster.tables.frames import UTC_DATETIME
from pnd_dagster.telegram.batches import MESSAGE_KINDS, ROW_SCHEMA

MAX_TEXT_BYTES = 1_000_000
# Telegram began in August 2013; anything before is a broken clock or a wrong unit.
EARLIEST_AT = datetime.fromisoformat("2013-01-01T00:00:00+00:00")
MAX_CLOCK_SKEW = timedelta(days=1)
REQUIRED = ("channel_id", "message_id", "occurred_at", "text")
_KINDS = {"Message": "message", "MessageService": "service", "message": "message", "service": "service"}
# Bot API and Telethon mark channel ids as -100 followed by the id.
_MARK = 1_000_000_000_000


class Checked(NamedTuple):
    """Rows that can be stored, and what was wrong: `problems` holds row (index), column, reason and is_fatal."""

    rows: pl.DataFrame
    problems: pl.DataFrame


_PROBLEMS = pl.Schema({"row": pl.UInt32(), "reason": pl.String(), "is_fatal": pl.Boolean()})


def check_rows(frame: pl.DataFrame, *, now: datetime, where: str) -> Checked:
    """`frame`, whose columns have the names of `ROW_SCHEMA` and any type, as rows of that schema.

    A row whose identity, time or text is unusable is refused; another value that does not fit becomes NULL and its row is kept.
    Both are told in `problems`.

    Args:
        frame: the rows as read, at least with the `REQUIRED` columns.
        now: dates more than a day after it are refused.
        where: the file, for errors.

    Returns:
        The good rows with a column `row`, their index in `frame`, and the problems.

    Raises:
        SourceError: a column has a type that can never be read as what it should hold.
    """
    # pandas writes missing numbers as NaN.
    frame = frame.with_columns(pl.selectors.float().fill_nan(None))
    problems: list[pl.DataFrame] = []
    columns: dict[str, pl.Series] = {}
    for name, dtype in ROW_SCHEMA.items():
        if name not in frame.columns:
            columns[name] = pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height)
            continue
        given = frame[name]
        columns[name] = _coerce(given, dtype, where)
        is_lost = columns[name].is_null() & given.is_not_null()
        if is_lost.any():
            problems.append(_problem(is_lost, f"{name} is not {_NAMES[str(dtype)]}: ", given, is_fatal=name in REQUIRED))

    rows = pl.DataFrame(columns).with_row_index("row")
    marked = pl.col("channel_id") < -_MARK
    rows = rows.with_columns(
        channel_id=pl.when(marked).then(-pl.col("channel_id") - _MARK).otherwise("channel_id"),
        text=pl.col("text").fill_null(""),
        is_deleted=pl.col("is_deleted").fill_null(value=False),
        media_file=pl.when(pl.col("media_file") != "").then("media_file"),
    )
    rows = rows.with_columns(
        kind=pl.coalesce("kind", pl.when(pl.col("service_action").is_not_null()).then(pl.lit("service")).otherwise(pl.lit("message"))),
        media_type=pl.coalesce("media_type", pl.when(pl.col("media_file").is_not_null()).then(pl.lit("MessageMediaPhoto"))),
    )

    def refuse(is_bad: pl.Expr, reason: str, column: str, *, is_fatal: bool) -> None:
        flags = rows.select(is_bad.fill_null(value=False)).to_series()
        if flags.any():
            problems.append(_problem(flags, reason, rows[column], is_fatal=is_fatal))

    for column in ("channel_id", "message_id", "occurred_at"):
        given_null = frame[column].is_null()
        if given_null.any():
            problems.append(_problem(given_null, f"{column} is missing", None, is_fatal=True))
    for column in ("channel_id", "message_id"):
        refuse(pl.col(column) <= 0, f"{column} is not positive: ", column, is_fatal=True)
    for column, is_fatal in (("occurred_at", True), ("edited_at", False)):
        refuse(pl.col(column) < EARLIEST_AT, f"{column} is before {EARLIEST_AT:%Y}: ", column, is_fatal=is_fatal)
        refuse(pl.col(column) > now + MAX_CLOCK_SKEW, f"{column} is in the future: ", column, is_fatal=is_fatal)
    text_bytes = pl.col("text").str.len_bytes()
    refuse(text_bytes > MAX_TEXT_BYTES, f"text is longer than {MAX_TEXT_BYTES} bytes", "message_id", is_fatal=True)
    rows = rows.with_columns(pl.col("kind").replace(_KINDS))
    refuse(~pl.col("kind").is_in(MESSAGE_KINDS), f"kind is neither of {', '.join(_KINDS)}: ", "kind", is_fatal=True)

    unsafe = _unsafe_names(rows["media_file"])
    if unsafe.any():
        problems.append(_problem(unsafe, "media_file leaves the media folder: ", rows["media_file"], is_fatal=False))
    in_range = pl.col("edited_at").is_between(EARLIEST_AT, now + MAX_CLOCK_SKEW)
    rows = rows.with_columns(
        edited_at=pl.when(in_range).then("edited_at"),
        media_file=pl.when(~unsafe).then("media_file"),
    )

    found = pl.concat(problems) if problems else pl.DataFrame(schema=_PROBLEMS)
    fatal = found.filter("is_fatal")["row"].unique()
    return Checked(rows.filter(~pl.col("row").is_in(fatal.implode())) if fatal.len() else rows, found)


_NAMES = {
    "Int64": "a whole number",
    "String": "a text",
    "Boolean": "true or false",
    str(UTC_DATETIME): "a time",
}


def _problem(flags: pl.Series, reason: str, values: pl.Series | None, *, is_fatal: bool) -> pl.DataFrame:
    """One row per flagged row; a reason that ends in a colon gets the start of the row's value."""
    rows = flags.arg_true()
    shown = (
        [""] * rows.len() if values is None or not reason.endswith(": ") else [str(value)[:80] for value in values.gather(rows).to_list()]
    )
    return pl.DataFrame(
        {"row": rows, "reason": [reason + text for text in shown], "is_fatal": [is_fatal] * rows.len()},
        schema=_PROBLEMS,
    )


def _coerce(values: pl.Series, dtype: pl.DataType, where: str) -> pl.Series:
    if values.dtype == pl.Null():
        return values.cast(dtype)
    try:
        match dtype:
            case pl.Int64():
                return _integers(values)
            case pl.Boolean():
                return _booleans(values)
            case pl.String():
                return _texts(values)
            case _:
                return _instants(values)
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise SourceError(f"{where}: column {values.name} holds {values.dtype}, which cannot be read as {_NAMES[str(dtype)]}") from error


def _integers(values: pl.Series) -> pl.Series:
    if values.dtype.is_integer():
        return values.cast(pl.Int64, strict=False)
    if values.dtype.is_float():
        # pandas turns integer columns with gaps into floats; anything with a fraction is no id and no count.
        whole = values.is_finite() & (values == values.floor())
        return pl.select(pl.when(whole).then(values.cast(pl.Int64, strict=False))).to_series().rename(values.name)
    if values.dtype == pl.String():
        return values.str.strip_chars().str.replace(r"\.0$", "").cast(pl.Int64, strict=False)
    raise TypeError(values.dtype)


def _booleans(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Boolean():
        return values
    if values.dtype.is_integer() or values.dtype.is_float():
        return pl.select(pl.when(values == 1).then(True).when(values == 0).then(False)).to_series().rename(values.name)
    if values.dtype == pl.String():
        words = values.str.strip_chars().str.to_lowercase()
        return words.replace_strict({"true": True, "1": True, "false": False, "0": False}, default=None, return_dtype=pl.Boolean())
    raise TypeError(values.dtype)


def _texts(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Categorical() or isinstance(values.dtype, pl.Enum):
        values = values.cast(pl.String)
    if values.dtype == pl.Binary():
        # Not UTF-8: keep what can be read, as everywhere.
        values = pl.Series(
            values.name, [None if one is None else one.decode("utf-8", "replace") for one in values.to_list()], dtype=pl.String
        )
    if values.dtype != pl.String():
        raise TypeError(values.dtype)
    return values.str.replace_all("\x00", "\ufffd", literal=True)


def _instants(values: pl.Series) -> pl.Series:
    """Times in UTC: a time without zone is taken as UTC, a number as seconds, ms, us or ns since 1970 by its size."""
    dtype = values.dtype
    if isinstance(dtype, pl.Datetime):
        aware = values.dt.replace_time_zone("UTC") if dtype.time_zone is None else values.dt.convert_time_zone("UTC")
        return aware.cast(UTC_DATETIME, strict=False)
    if dtype == pl.Date():
        return values.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    if dtype.is_integer() or dtype.is_float():
        number = values.cast(pl.Float64)
        scale = (
            pl.when(number.abs() < 1e11)
            .then(1_000_000.0)
            .when(number.abs() < 1e14)
            .then(1_000.0)
            .when(number.abs() < 1e17)
            .then(1.0)
            .otherwise(0.001)
        )
        return pl.select((pl.lit(number) * scale).round().cast(pl.Int64, strict=False).cast(UTC_DATETIME)).to_series().rename(values.name)
    if dtype == pl.String():
        text = values.str.strip_chars()
        number = text.cast(pl.Float64, strict=False)
        iso = (
            text.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00")
            .str.replace(r"^(\d{4}-\d\d-\d\d) ", "${1}T")
            .str.replace(r"T(\d\d:\d\d)($|[Z+-])", "T${1}:00${2}")
            .str.replace(r"[Zz]$| ?UTC$", "+00:00")
            .str.replace(r"([+-]\d\d):?(\d\d)?$", "${1}:${2}")
            .str.replace(r"T([\d:.]+)$", "T${1}+00:00")
            .str.replace(r":$", ":00")
            .str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%:z", strict=False, time_unit="us")
        )
        return (
            iso.cast(UTC_DATETIME).zip_with(iso.is_not_null(), _instants(number)) if number.is_not_null().any() else iso.cast(UTC_DATETIME)
        )
    raise TypeError(dtype)


def _unsafe_names(names: pl.Series) -> pl.Series:
    """True where a media file's name would lead out of the media folder: names in archives are as hostile as their texts."""
    distinct = names.drop_nulls().unique()
    unsafe = [name for name in distinct.to_list() if not is_safe_name(name)]
    return names.is_in(pl.Series(unsafe, dtype=pl.String).implode()).fill_null(value=False)


def is_safe_name(name: str) -> bool:
    """True for a relative file name that stays inside the folder it is joined to."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts)
        and not name.startswith("/")
        and ".." not in parts
        and not any(sign in name for sign in "\\:\x00\n\r")
        and len(name) <= 500
    )
