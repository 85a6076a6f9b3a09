"""Backtests as the API tells them. Times are ms since the epoch, UTC; money is quote; rates are fractions."""

from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

PIECE_BYTES: Final = 250_000  # of a file in one answer


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BacktestState(StrEnum):
    """What has become of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"  # the daemon ended meanwhile


class ResultFile(StrEnum):
    """A file of a result; which of them there are depends on the run."""

    REPORT = "report.html"
    SUMMARY = "result.json"
    TRADES = "trades.parquet"
    EQUITY = "equity.parquet"
    FILLS = "fills.parquet"
    DECISIONS = "decisions.parquet"
    ORDERS = "orders.parquet"
    LIMITS = "limits.parquet"
    PAYMENTS = "payments.parquet"
    STATEMENT = "statement.parquet"


class BacktestRequest(_Told):
    """A backtest that is asked for."""

    name: str = Field("", max_length=80, description="of the job, for people")
    config: dict[str, Any] = Field(
        default_factory=dict,
        description="a configuration in the shape of the TOML file; sections that only live operation reads are set aside",
    )


class BacktestJob(_Told):
    """A backtest and how far it is."""

    number: int
    name: str
    strategy: str
    tapes: tuple[str, ...] = Field(description="as the configuration names them; none: the sample")
    state: BacktestState
    reason: str = Field("", description="why it came to nothing, in a sentence")
    step: str = Field("", description="what is being done while it runs")
    done: int = Field(0, description="of `total` of this step")
    total: int = 0
    created_ms: int
    started_ms: int | None = None
    ended_ms: int | None = None
    digest: str = Field("", description="of every decision and fill, when done")
    figures: dict[str, float | None] = Field(
        default_factory=dict, description="the first ones of its metrics, when done; none: undefined"
    )


class BacktestJobs(_Told):
    """The backtests that are kept, newest first."""

    jobs: tuple[BacktestJob, ...]
    older: int = Field(0, description="that are kept and left out, for no answer holds more")


class ParameterChoice(_Told):
    """A parameter that a strategy declares."""

    name: str
    type: str = Field(description="int, float, bool or str")
    default: int | float | bool | str
    low: float | None
    high: float | None
    step: float | None
    choices: tuple[int | float | bool | str, ...]
    range: str = Field(description="what is allowed, in words; empty: anything of the type")
    help: str


class StrategyChoice(_Told):
    """A strategy that may be asked for."""

    name: str
    is_own: bool = Field(description="the daemon's own")
    is_declared: bool = Field(
        description="false: its code is not loaded here, so what can be set of it is not known"
    )
    parameters: tuple[ParameterChoice, ...]


class TapeChoice(_Told):
    """A tape that may be replayed."""

    name: str
    symbol: str
    timeframe: str
    first_ms: int | None = None
    last_ms: int | None = None
    candles: int | None = None
    problem: str = Field("", description="why it cannot be read")
    is_sample: bool = Field(False, description="the embedded one, which every installation has")


class BacktestChoices(_Told):
    """What a backtest may be made of here; every other key of a configuration can be set as well."""

    strategies: tuple[StrategyChoice, ...]
    tapes: tuple[TapeChoice, ...]
    more_tapes: int = Field(description="of the store that are left out")
    timeframes: tuple[str, ...]
    sizings: tuple[str, ...]
    own: dict[str, Any] = Field(
        description="the daemon's own configuration, as far as a replay reads it and it is not the default"
    )


class FileSize(_Told):
    """A file of a result."""

    name: ResultFile
    size_bytes: int


class TapeUsed(_Told):
    """A tape that was replayed."""

    name: str
    sha256: str = Field(description="of its candles")
    is_synthetic: bool


class ResultCurve(_Told):
    """The account by column: lowest, highest and last value of every stretch."""

    time_ms: tuple[int, ...]
    equity: tuple[float, ...]


class BacktestResult(_Told):
    """What a backtest found."""

    job: BacktestJob
    strategy: str
    symbols: tuple[str, ...]
    timeframe: str
    start: str
    end: str
    candles: int
    capital: float
    quote: str
    metrics: dict[str, float | None] = Field(description="none: undefined")
    undefined: dict[str, str] = Field(description="why a metric is")
    doubts: tuple[str, ...] = Field(description="of the result about itself")
    tapes: tuple[TapeUsed, ...]
    curve: ResultCurve
    files: tuple[FileSize, ...]
    folder: str = Field(description="on the daemon's machine; `papertape verify` takes it")


class ComparedChapter(_Told):
    """Since when a live account is what it is from then on."""

    name: str
    since_ms: int


class ComparedSide(_Told):
    """One side of a comparison."""

    source: str = Field(description="number of a backtest, or live")
    name: str
    digest: str
    start_ms: int | None
    end_ms: int | None
    chapters: tuple[ComparedChapter, ...] = Field(
        (),
        description="of a live account, the newest 50, oldest first: curve and metrics are of all, settings are the newest's",
    )
    told: str = Field("", description="that, for people; empty: it is of one configuration")


class ComparedMetric(_Told):
    """One metric of both."""

    name: str
    label: str = Field(description="of a key figure, for people; empty: not one of those")
    kind: str = Field(description="percent, number, count or R, of a key figure")
    first: float | None
    second: float | None
    first_missing: str = Field(description="why there is none")
    second_missing: str = Field(description="why there is none")
    difference: float | None = Field(description="second less first; none where either is undefined")


class ComparedCurve(_Told):
    """What one unit has become over time: lowest, highest and last value of every stretch."""

    time_ms: tuple[int, ...] = Field(description="of the calendar, or since its start: see basis")
    growth: tuple[float, ...]
    missing: str = Field("", description="why there is none")


class ComparedCurves(_Told):
    """Both equity curves from one start."""

    basis: Literal["time", "elapsed"] = Field(
        description="time: both begin at `start_ms`; elapsed: no moment is common, each begins at its own start"
    )
    start_ms: int | None
    first: ComparedCurve
    second: ComparedCurve


class ComparedSetting(_Told):
    """A key of the configuration that differs, with both values as JSON."""

    key: str
    first: str
    second: str


class BacktestComparison(_Told):
    """Two results beside one another, or a result and the live account."""

    first: ComparedSide
    second: ComparedSide
    is_same_span: bool = Field(description="metrics of other spans of time compare little")
    curves: ComparedCurves
    metrics: tuple[ComparedMetric, ...] = Field(description="key figures first")
    settings: tuple[ComparedSetting, ...] = Field(description="that differ, the first 100 of them")
    more_settings: int = Field(description="that differ and are left out")
