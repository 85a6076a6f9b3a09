"""Requests and answers of the local API. Times are ms since the epoch, UTC; money is quote; rates are fractions."""

from enum import StrEnum
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

KEY_HEADER: Final = "Idempotency-Key"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CommandName(StrEnum):
    """What an operator may ask for."""

    PAUSE = "pause"  # no new entries; brackets and exits go on
    RESUME = "resume"
    FLATTEN = "flatten"  # close every position at the next open
    KILL = "kill"  # flatten and stay paused
    SCALE = "scale"  # new entries get this share of their size; 1 brings the whole size back
    RETRAIN = "retrain"  # train and judge a model before its time
    SNAPSHOT = "snapshot"


class CommandRequest(_Model):
    """The body of a command; an empty one will do."""

    reason: str = Field("", max_length=200, description="kept in the journal beside the command")
    value: float = Field(1.0, strict=True, ge=0.0, le=1.0, description="of `scale`: the share of their size")


class CommandDone(_Model):
    """A command that has been journalled."""

    command: CommandName
    sequence: int | None = Field(None, description="its number in the journal, where it has one")
    detail: str = ""


class Problem(_Model):
    """Why a request was not served (RFC 9457); `detail` says it in one sentence."""

    type: Literal["about:blank"] = "about:blank"
    title: str = Field(description="of the status")
    status: int
    detail: str


class Health(_Model):
    """The event loop answers."""

    is_alive: Literal[True] = True
    uptime_s: float


class Readiness(_Model):
    """Whether the daemon is warmed up and able to decide."""

    is_ready: bool
    reason: str = Field("", description="what is missing")


class AccountState(_Model):
    """The paper account at the last mark."""

    currency: str
    money_places: int = Field(2, description="decimals that amounts are shown with; they are counted finer")
    equity: float
    equity_peak: float
    drawdown_ratio: float
    cash: float
    realised_pnl: float
    funding_paid: float
    is_paused: bool
    ruined_ms: int | None = Field(
        None, description="close at which equity was not above 0, after which nothing is opened"
    )
    locked_by: str | None = Field(None, description="limit that was met; nothing is opened")
    locked_until_ms: int | None = Field(None, description="end of the lock; none: until an operator resumes")
    size_factor: float = Field(1.0, description="share of their size that new entries get")


class PositionState(_Model):
    """One open position."""

    symbol: str
    quantity: float = Field(description="signed, base units")
    entry_price: float
    last_price: float
    unrealised_pnl: float = Field(description="costs of closing not included")
    stop_price: float | None
    target_price: float | None


class OrderState(_Model):
    """One order of the strategy that rests."""

    symbol: str
    number: int
    tag: str
    kind: str = Field(description="limit, stop, stop-limit, trailing stop and so on")
    side: Literal["buy", "sell"]
    quantity: float = Field(description="what is left of it, base units")
    limit_price: float | None
    trigger_price: float | None = Field(description="of a trailing stop: its best price so far")
    is_reduce_only: bool


class SymbolFreshness(_Model):
    """When a symbol was heard of last."""

    symbol: str
    last_message_ms: int | None
    last_close_ms: int | None


class FeedState(_Model):
    """A feed and its symbols."""

    name: str
    is_connected: bool
    clock_offset_ms: float | None = Field(description="none until the venue was heard")
    symbols: tuple[SymbolFreshness, ...]


class InputState(_Model):
    """The newest input that the engine took."""

    sequence: int
    kind: str
    time_ms: int


class JobState(_Model):
    """A scheduled job."""

    name: str
    last_outcome: Literal["ok", "failed", "missed"] | None = None
    last_start_ms: int | None = None
    last_success_ms: int | None = None
    next_run_ms: int | None = None


class ParityState(_Model):
    """What the latest audit found."""

    outcome: Literal["match", "diverged", "error"] | None = None
    checked_ms: int | None = None
    sequence: int | None = Field(None, description="last input that was compared")
    detail: str = ""


class AttemptState(_Model):
    """The latest attempt to replace the model."""

    trigger: str
    outcome: str = Field("", description="empty while it runs")
    reason: str = ""
    started_ms: int


class ModelState(_Model):
    """The model in force, and what is done about it."""

    version: int = Field(0, description="0: none")
    kind: str = ""
    data_end_ms: int | None = Field(None, description="newest candle that it learnt from")
    drift: str | None = Field(
        None,
        description="level of the policy: ok, warn, smaller, retrain, stop; none until the model was looked at",
    )
    attempt: AttemptState | None = None


class ChapterState(_Model):
    """Since when the account is what it is."""

    name: str
    since_ms: int


class Status(_Model):
    """Everything that an operator asks first."""

    version: str
    mode: Literal["paper", "replay"]
    venue: str
    started_ms: int
    uptime_s: float
    is_ready: bool
    halted: tuple[str, ...] = Field((), description="why no new position is entered")
    account: AccountState
    chapter: ChapterState | None = Field(
        None, description="of the account; none: it is what it was opened as"
    )
    positions: tuple[PositionState, ...]
    orders: tuple[OrderState, ...] = ()
    feeds: tuple[FeedState, ...]
    last_input: InputState | None
    digest: str = Field(description="of every decision and fill so far")
    model: ModelState = ModelState()
    jobs: tuple[JobState, ...]
    parity: ParityState
    makes_backtests: bool = Field(False, description="for whoever asks: `backtests.at_once` > 0")
