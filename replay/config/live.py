"""The sections of the configuration that only live operation reads: the feed, and the daemon around the engine."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Live(_Section):
    """Which venue is followed, and how."""

    venue: str = Field(
        "delta", description="delta, sim (the local exchange), or a ccxt id such as binance"
    )
    profile: Literal["india", "india-testnet", "global", "global-testnet"] = Field(
        "india", description="Delta's environment"
    )
    symbols: tuple[str, ...] = Field((), description="as the venue names them, for example BTCUSD")
    timeframe: Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "1d"] = Field(
        "1m", description="base timeframe: what fills and stops see"
    )
    protocol: Literal["auto", "compact", "legacy"] = Field(
        "auto", description="of Delta's websockets; auto: compact, and legacy when that fails"
    )
    candles: Literal["stream", "trades", "poll"] = Field(
        "stream", description="where candles come from; the venue's history confirms every one"
    )
    rest_url: str | None = Field(None, description="in place of the profile's")
    compact_url: str | None = Field(None, description="in place of the profile's")
    legacy_url: str | None = Field(None, description="in place of the profile's")
    confirm_s: Seconds = Field(1.0, description="after a candle's end, first look at the history")
    close_s: Seconds = Field(2.0, description="after a candle's end, closed by the clock")
    deadline_s: Seconds = Field(
        10.0,
        description="emit unconfirmed when history has not answered and the stream was heard around the end",
    )
    grace_s: Seconds = Field(
        30.0, description="declare a candle absent when nothing gave it; longer than deadline_s"
    )
    history_bars: int = Field(
        1000, ge=0, le=100_000, description="base candles fetched before the first live one"
    )
    speed: float = Field(
        1.0,
        gt=0.0,
        le=100_000.0,
        description="of the local exchange's clock, at most; jobs go by that clock",
    )
    tape_times: Literal["now", "recorded"] = Field(
        "now", description="what the local exchange streams happens now, or when it was recorded"
    )


class Daemon(_Section):
    """The process around the engine."""

    state: Path = Field(Path("state"), description="folder of the journal, models and snapshots")
    host: str = Field("127.0.0.1", description="other addresses need a token")
    port: int = Field(9464, ge=0, le=65_535, description="metrics, health, status; 0: any")
    token_file: Path | None = Field(
        None, description="file with the token for commands; or $PAPERTAPE_TOKEN"
    )
    log: Literal["console", "json"] = Field("console", description="lines for people or machines")
    snapshot_every_s: Seconds = Field(300.0, description="between snapshots")
    audit_every_s: Seconds = Field(60.0, description="between audits")
    halt_on_divergence: bool = Field(
        True, description="pause entries when the audit finds another answer than the run gave"
    )
    keep_snapshots: int = Field(8, ge=2, le=1000, description="the newest, in the journal")
    keep_days: int | None = Field(
        None, ge=1, description="of inputs in the journal; older ones go to tapes; none: all"
    )
    loop: Literal["asyncio", "uvloop"] = Field(
        "asyncio", description="event loop; uvloop has to be installed beside papertape"
    )
