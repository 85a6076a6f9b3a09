"""The sections of the configuration that only live operation reads: the feed, the daemon around the engine, and whom it tells."""

from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

# A name without scheme, port or path; `_` because containers are called so.
HOST_PATTERN: Final = r"^[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$"
_PEER_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$"
# Scheme, host and port; no user, path or query, so that an address is one daemon and has no secret in it.
_PEER_URL: Final = r"^https?://([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?$"


def _has_a_port(url: str) -> str:
    """Return an address as it is, or refuse one whose port is none."""
    urlsplit(url).port  # noqa: B018 - raises ValueError above 65535
    return url


Seconds = Annotated[float, Field(ge=0.0, le=86_400.0)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Live(_Section):
    """Which venue is followed, and how."""

    venue: str = Field("delta", description="delta, sim (the local exchange), or a ccxt id such as binance")
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
        1.0, gt=0.0, le=100_000.0, description="of the local exchange's clock, at most; jobs go by that clock"
    )
    tape_times: Literal["now", "recorded"] = Field(
        "now", description="what the local exchange streams happens now, or when it was recorded"
    )


class Daemon(_Section):
    """The process around the engine."""

    state: Path = Field(Path("state"), description="folder of the journal, models and snapshots")
    host: str = Field("127.0.0.1", description="other addresses need a token")
    hosts: tuple[Annotated[str, Field(pattern=HOST_PATTERN, max_length=253)], ...] = Field(
        (),
        description="names that requests may call the daemon by, beside 127.0.0.1 and localhost; such a request needs "
        "the token to read as well",
    )
    port: int = Field(9464, ge=0, le=65_535, description="metrics, health, status; 0: any")
    token_file: Path | None = Field(None, description="file with the token for commands; or $PAPERTAPE_TOKEN")
    peers: dict[
        Annotated[str, Field(pattern=_PEER_NAME)],
        Annotated[str, Field(pattern=_PEER_URL, max_length=300), AfterValidator(_has_a_port)],
    ] = Field(
        default_factory=dict,
        max_length=16,
        description="other daemons that the page shows, read only: addresses such as http://127.0.0.1:9465, by a name",
    )
    peer_tokens_file: Path | None = Field(
        None,
        description="file with lines `name = token`, for peers that need one to be read; or $PAPERTAPE_PEER_TOKENS",
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


class Backtests(_Section):
    """Backtests that a daemon makes for whoever has its token (`/api/v1/backtests`)."""

    at_once: int = Field(1, ge=0, le=16, description="processes; 0: none are made")
    queue: int = Field(8, ge=1, le=100, description="that may wait; one more is refused")
    keep: int = Field(20, ge=1, le=200, description="that have ended, with their results")
    time_limit_s: float = Field(1800.0, gt=0.0, le=86_400.0, description="of one")
    memory_limit_mb: int = Field(4096, ge=512, le=1_048_576, description="of its process")
    folders: tuple[Path, ...] = Field(
        (), description="of tapes and series that they may read, beside the store"
    )
    strategies: tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...] = Field(
        (), description="yours that may be asked for, as module:Class, beside strategy.name"
    )


NotificationKind = Literal["fills", "halts", "refusals", "gate", "drift", "feed", "summary", "rules"]
NOTIFICATION_KINDS: Final[tuple[NotificationKind, ...]] = get_args(NotificationKind)
# What each kind of rule needs; `symbol` may be given with all but the first.
_RULE_KEYS: Final = {
    "equity_falls": ("by",),
    "feature_rises_above": ("feature", "value"),
    "feature_falls_below": ("feature", "value"),
    "enters_order_block": (),
}


class NotificationRule(_Section):
    """A rule of your own: told once when it comes true, and again only after it was not."""

    when: Literal["equity_falls", "feature_rises_above", "feature_falls_below", "enters_order_block"]
    by: float | None = Field(None, gt=0.0, lt=1.0, description="share of the highest equity")
    feature: str | None = Field(None, min_length=1, description="a column of the account's")
    value: float | None = Field(None, allow_inf_nan=False, description="that is crossed")
    symbol: str | None = Field(None, min_length=1, description="one symbol; none: each")

    @model_validator(mode="after")
    def _keys_are_its_own(self) -> Self:
        """Refuse a rule that lacks something or has what it does not read."""
        needed = _RULE_KEYS[self.when]
        known = needed if self.when == "equity_falls" else (*needed, "symbol")
        for key in ("by", "feature", "value", "symbol"):
            is_given = getattr(self, key) is not None
            if key in needed and not is_given:
                raise ValueError(f"{self.when} needs {' and '.join(needed)}; {key} is missing")
            if is_given and key not in known:
                takes = ", ".join(known) or "nothing else"
                raise ValueError(f"{self.when} does not read {key}; it takes {takes}")
        return self


class Notifications(_Section):
    """Who is told of what; addresses are never in here: they stand in a file or in $PAPERTAPE_NOTIFY."""

    addresses_file: Path | None = Field(
        None, description="file with addresses for apprise, one a line; or $PAPERTAPE_NOTIFY"
    )
    kinds: tuple[NotificationKind, ...] = Field(
        NOTIFICATION_KINDS,
        description="fills, halts, refusals that repeat, gate decisions, drift, loss of the feed, the day's summary, your rules",
    )
    rules: tuple[NotificationRule, ...] = Field(
        (),
        description="of your own, as { when = equity_falls, by }, { when = feature_rises_above or feature_falls_below, "
        "feature, value, symbol } or { when = enters_order_block, symbol }",
    )
    refusals: int = Field(5, ge=1, le=10_000, description="of one reason and symbol in a day")
    feed_lost_s: Seconds = Field(60.0, description="without the feed, until it is told")
    group_s: float = Field(30.0, ge=0.0, le=3600.0, description="what happens within is one message")
    per_hour: int = Field(20, ge=1, le=3600, description="messages at most; more of it waits")
