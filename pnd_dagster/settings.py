"""Every setting, typed, read from `PND_*` variables or `.env`. Secrets are `SecretStr`: they print as stars."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import platformdirs
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pnd_dagster.errors import SettingError

# The five exchanges of the paper, by their canonical ids, which are ccxt's too.
EXCHANGES = ("latoken", "kucoin", "mexc", "poloniex", "xt")


def project_folder() -> Path | None:
    """The nearest folder from here upwards that holds a `workspace.yaml`, None outside a checkout."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "workspace.yaml").exists()), None)


def _default_home() -> Path:
    project = project_folder()
    return project / ".pnd" if project else platformdirs.user_data_path("pnd-dagster")


class Settings(BaseSettings):
    """Settings of one installation; see `.env.example` for their meaning in a user's words."""

    model_config = SettingsConfigDict(
        env_prefix="PND_",
        env_file=(project_folder() or Path.cwd()) / ".env",
        env_ignore_empty=True,
        extra="ignore",
    )

    home: Path = Field(default_factory=_default_home, description="Folder of the embedded database, media and Dagster's files")

    database_url: SecretStr | None = Field(None, description="Any Postgres 14+; empty means the embedded server")
    database_port: int | None = Field(None, ge=1024, le=65535, description="Port of the embedded server; empty means any free one")
    dagster_database: str = Field(
        "pnd_dagster", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="Dagster's own database in the same server"
    )

    bi_password: SecretStr | None = Field(
        None, description="Password of the read-only role pnd_bi; empty means one that is made and kept in PND_HOME"
    )

    archives: Annotated[list[Path], NoDecode] = Field(
        default_factory=list, description="Message archives that the graph imports: Parquet, JSONL or Telegram Desktop exports"
    )

    export_zone: str = Field("UTC", description="Time zone of Telegram Desktop exports from before 2022, which name none")

    telegram_api_id: int | None = Field(None, gt=0, description="From my.telegram.org")
    telegram_api_hash: SecretStr | None = Field(None, description="From my.telegram.org")
    telegram_session_file: Path = Field(
        default_factory=lambda: platformdirs.user_config_path("pnd-dagster") / "telegram.session",
        description="Telegram session, mode 0600, outside any repository",
    )
    media_max_bytes: int = Field(5_000_000, ge=0, description="Photos above this size are not downloaded")

    tgstat_token: SecretStr | None = Field(None, description="Token of TGStat's API, for channel discovery")
    tgstat_countries: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda: ["us", "ru"], description="Countries TGStat searches, by its two-letter codes"
    )
    tgstat_url: str = Field("https://api.tgstat.ru", description="Base address of TGStat's API")

    exchanges: Annotated[list[str], NoDecode] = Field(
        default_factory=lambda: list(EXCHANGES), description="Exchanges that are collected, by their canonical ids"
    )
    exchange_url: str | None = Field(None, description="Base address of simulated exchanges (`pnd simulate`); empty means the real ones")
    market_cap_max_usd: float = Field(60e6, gt=0, description="Coins above this market capitalisation are no candidates")
    metrics_retention_days: int = Field(30, ge=4, description="Day partitions of metrics and rankings older than this are dropped")
    spill_max_bytes: int = Field(2_000_000_000, ge=0, description="What a collector keeps on disk at most while the database is away")

    lunarcrush_key: SecretStr | None = Field(None, description="Key of LunarCrush's API")
    lunarcrush_url: str = Field("https://lunarcrush.com", description="Base address of LunarCrush's API")
    coinmarketcap_key: SecretStr | None = Field(None, description="Key of CoinMarketCap's API")
    coinmarketcap_url: str = Field("https://pro-api.coinmarketcap.com", description="Base address of CoinMarketCap's API")
    coincodex_url: str = Field("https://coincodex.com", description="Base address of CoinCodex; it needs no key")

    model_dir: Path | None = Field(None, description="Folder of a classifier; empty means the promoted one, or the one that ships")
    training_dir: Path | None = Field(
        None, description="Folder of label files that train the message classifier beside the database's labels"
    )
    encoder: str | None = Field(
        None, description="Hugging Face encoder that is fine-tuned, by name or folder; empty means the offline all-MiniLM-L6-v2"
    )

    openai_api_key: SecretStr | None = Field(None, description="Key of OpenAI's API, or of a server that speaks it")
    openai_url: str = Field("https://api.openai.com/v1", description="Base address of OpenAI's API")
    openai_model: str = Field("gpt-4o-2024-08-06", min_length=1, description="Model that labels and extracts")
    openai_prompt_usd_per_million: float = Field(2.5, ge=0, description="Price of a million tokens asked")
    openai_completion_usd_per_million: float = Field(10.0, ge=0, description="Price of a million tokens answered")
    openai_requests_per_minute: int = Field(300, ge=1, description="Requests are spaced so that no minute has more")
    openai_usd_per_day: float = Field(5.0, ge=0, description="Asking stops for the day (UTC) before it costs more")

    score_rule: str = Field("default", description="Rule that ranks candidates: default, prototype, paper_before or paper_after")
    watch_lead_seconds: int = Field(600, ge=30, le=7200, description="How long before the announced start a watch is started")

    alert_webhook_url: str | None = Field(None, description="Alerts are posted there as JSON")
    alert_webhook_secret: SecretStr | None = Field(None, description="Key of the HMAC-SHA256 signature of webhook alerts")
    alert_file: Path | None = Field(
        None, description="Alerts are appended there, a JSON object a line; empty means alerts.jsonl in PND_HOME"
    )
    alert_email_to: Annotated[list[str], NoDecode] = Field(default_factory=list, description="Addresses that get alerts by e-mail")
    alert_email_from: str = Field("pnd-dagster@localhost", description="Sender of alerts by e-mail")
    smtp_url: SecretStr | None = Field(None, description="smtp://user:password@host:port, or smtps:// for TLS from the start")
    alert_cooldown_seconds: int = Field(
        60, ge=0, description="The same stage of the same pump (announced, candidates, target suspected) is not told again within so long"
    )

    backtest_trades: Path | None = Field(None, description="Parquet of tick trades around known pumps, for the backtest assets")
    backtest_events: Path | None = Field(None, description="CSV of those pumps: event_id, event_coin, event_time")

    ui_port: int = Field(3000, ge=1024, le=65535, description="Port of the Dagster UI, on 127.0.0.1")
    dashboard_port: int = Field(8050, ge=1024, le=65535, description="Port of the dashboards, on 127.0.0.1")

    @field_validator("export_zone")
    @classmethod
    def _must_be_a_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"{value} is no time zone; expected a name such as Europe/Zurich") from None
        return value

    @field_validator("archives", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("tgstat_countries", "exchanges", "alert_email_to", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("exchanges")
    @classmethod
    def _must_be_ccxt_ids(cls, value: list[str]) -> list[str]:
        if wrong := [name for name in value if not name.isidentifier() or name != name.lower()]:
            raise ValueError(f"{', '.join(wrong)}: expected ids such as {', '.join(EXCHANGES)}")
        return value

    @field_validator("home", "telegram_session_file", "model_dir", "training_dir", "alert_file", "backtest_trades", "backtest_events")
    @classmethod
    def _expand(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value else None

    @property
    def promoted_model_dir(self) -> Path:
        """Folder of the classifier that training promoted last, if any."""
        return self.home / "models" / "promoted"

    @property
    def media_dir(self) -> Path:
        """Folder of downloaded photos."""
        return self.home / "media"


def load_settings(**overrides: object) -> Settings:
    """Settings from the environment and `.env`.

    Raises:
        SettingError: a variable does not fit; names it and says what is allowed.
    """
    try:
        return Settings(**overrides)  # pyright: ignore[reportArgumentType]
    except ValidationError as error:
        problems = "; ".join(f"PND_{'_'.join(map(str, item['loc'])).upper()}: {item['msg']}" for item in error.errors())
        raise SettingError(f"wrong setting: {problems}") from None


def environment(settings: Settings) -> dict[str, str]:
    """The variables under which another process reads these settings; secrets in plain text, so for child processes only.

    Settings that were left at their default are left out, and so are those that were set to None: an empty variable counts as unset.
    """
    values = {name: getattr(settings, name) for name in settings.model_fields_set}
    return {f"PND_{name.upper()}": _text(value) for name, value in values.items() if value is not None}


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list):
        parts = cast("list[str | Path]", value)
        is_paths = any(isinstance(part, Path) for part in parts)
        return ":".join(str(Path(part).absolute()) for part in parts) if is_paths else ",".join(map(str, parts))
    return str(value)


@cache
def settings() -> Settings:
    """The settings of this process, read once."""
    return load_settings()
