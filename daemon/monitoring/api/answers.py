"""Answers of `/api/v1` that are no page of a table. Times are ms since the epoch, UTC; money is quote; rates are fractions."""

from typing import Final

from pydantic import BaseModel, ConfigDict, Field

from papertape.daemon.monitoring.schemas import OrderState, PositionState

MOST_ROWS: Final = 500  # of one page of a table


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MarketInfo(_Answer):
    """A market as the account was opened with it; sizes of 0 mean "any"."""

    symbol: str
    is_perpetual: bool
    is_read_only: bool = Field(description="feeds features of others and is never traded")
    contract_value: float
    tick_size: float
    lot_size: float
    minimum_size: float
    minimum_notional: float
    taker_fee_rate: float
    maker_fee_rate: float
    leverage: float = Field(description="of a position's margin; 0: it is never liquidated")
    oldest_ms: int | None = Field(None, description="open of the oldest candle in the journal")
    newest_ms: int | None = Field(None, description="end of the newest one")


class Markets(_Answer):
    """The markets of the account, in the engine's order."""

    venue: str
    strategy: str
    timeframe_ms: int = Field(description="of decisions")
    base_timeframe_ms: int = Field(description="of what the venue sends")
    markets: tuple[MarketInfo, ...]


class CandleWindow(_Answer):
    """Candles by column; of a long window several are one, with their true high and low."""

    symbol: str
    timeframe_ms: int = Field(description="of decisions")
    size_ms: int = Field(description="of the candles here: the timeframe times a power of two")
    oldest_ms: int | None = Field(None, description="open of the oldest candle that is known")
    newest_ms: int | None = Field(None, description="end of the newest one")
    open_ms: tuple[int, ...] = ()
    open: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    low: tuple[float, ...] = ()
    close: tuple[float, ...] = ()
    volume: tuple[float, ...] = Field((), description="base units, to six digits")


class EquityCurve(_Answer):
    """The account by column, at multiples of five minutes: lowest, highest and last equity of every stretch, and its deepest fall."""

    capital: float
    size_ms: int = Field(description="of a stretch: five minutes times a power of two")
    time_ms: tuple[int, ...]
    equity: tuple[float, ...]
    drawdown_ratio: tuple[float, ...]
    exposure: tuple[float, ...]


class Holdings(_Answer):
    """What is held, and what rests."""

    positions: tuple[PositionState, ...]
    orders: tuple[OrderState, ...]


class RefusalCount(_Answer):
    """How often something was not done for one reason."""

    what: str = Field(description="decision or order")
    reason: str
    count: int
    newest_ms: int


class RefusalCounts(_Answer):
    """Why nothing happened, the most frequent reason first."""

    refusals: tuple[RefusalCount, ...]


class JournalPosition(_Answer):
    """Where the journal stands."""

    sequence: int = Field(description="of the newest input")
    hash: str = Field(description="of all inputs up to it")
    first_sequence: int = Field(description="of the oldest input that is not in the archive")
    last_candle_ms: int | None = Field(description="open of the newest candle")
    created_ms: int
    snapshots: tuple[int, ...] = Field(description="inputs that whole states were kept after")
    size_bytes: int


class FeatureValue(_Answer):
    """A feature at one close."""

    name: str
    value: float | None = Field(description="to seven digits; none while it warms up")


class CloseAnswer(_Answer):
    """What the strategy answered at a close, also where it is what it had answered before; none: not known yet."""

    target: str = Field(description="short, flat, long or keep")
    confidence: float | None
    score_model: float | None = Field(description="signed, as the next two; they add up to it all")
    score_smc: float | None
    score_technical: float | None


class UnmetCondition(_Answer):
    """The first condition that a strategy found unmet, as it says it with `view.why`."""

    condition: str
    value: float | None
    threshold: float | None
    distance: float | None = Field(description="value less threshold")


class CloseView(_Answer):
    """What was seen and answered at one close: why, and why not."""

    symbol: str
    time_ms: int
    is_kept: bool = Field(description="whether its features are in the journal")
    features: tuple[FeatureValue, ...]
    answer: CloseAnswer | None = Field(description="of a strategy in kernels")
    unmet: UnmetCondition | None


class FeatureColumn(_Answer):
    """A line of one feature, a value for each stretch of its answer."""

    name: str
    request: str = Field(description="what the strategy named; columns of one share a pane")
    is_over: bool = Field(description="whether it lies on the candles, as prices near theirs do")
    values: tuple[float | None, ...] = Field(description="to seven digits; none while it warms up")


class LineWindow(_Answer):
    """What a strategy looked at in a window of candles: the last value that was known in each stretch."""

    symbol: str
    size_ms: int = Field(description="of the stretches here")
    open_ms: tuple[int, ...] = ()
    columns: tuple[FeatureColumn, ...] = ()


class StructureWindow(_Answer):
    """Market structure of a window by column, in the order in which it became known."""

    symbol: str
    groups: tuple[str, ...] = Field(description="what `group` counts")
    labels: tuple[str, ...] = Field((), description="what `label` counts")
    left_out: int = Field(0, description="of the smaller scale, the oldest of the window")
    group: tuple[int, ...] = ()
    label: tuple[int, ...] = ()
    side: tuple[int, ...] = Field((), description="1 for what is bullish, -1 for what is bearish")
    is_swing: tuple[int, ...] = Field((), description="1: of the larger scale")
    formed_ms: tuple[int, ...] = Field((), description="open of the candle that it is about")
    known_ms: tuple[int, ...] = Field((), description="close of the candle that made it known")
    ended_ms: tuple[int | None, ...] = Field((), description="none while it lives")
    top: tuple[float, ...] = ()
    bottom: tuple[float, ...] = ()


class ReliabilityBucket(_Answer):
    """Predictions of one confidence: which share of them was stated to come true, and which did."""

    name: str = Field(description="of the confidence, the probability of the likelier side")
    rows: int
    stated: float | None = Field(description="mean confidence; none without predictions")
    realised: float | None = Field(description="share that came true")


class ModelScores(_Answer):
    """How good one model was on what it said itself while it was in force."""

    version: int
    rows: int
    accuracy: float
    log_loss: float
    brier: float
    ece: float
    auc: float
    mcc: float


class CalibrationView(_Answer):
    """What the models in force said against what came, of the newest predictions."""

    reason: str = Field(description="why there is nothing to tell; empty where there is something")
    since_ms: int | None = Field(description="close of the oldest prediction that is judged here")
    waiting: int = Field(description="predictions whose horizon has not passed")
    unknown: int = Field(
        description="whose outcome cannot be told: a candle or an input was missing, or neither level was reached"
    )
    buckets: tuple[ReliabilityBucket, ...]
    versions: tuple[ModelScores, ...] = Field(description="newest first")


class ShadowModel(_Answer):
    """What one model would have earned between its attempt and the next model's, on closes that it had not seen."""

    attempt: int
    version: int
    is_in_force: bool = Field(description="whether the account trades by it now")
    since_ms: int = Field(description="when it was due")
    until_ms: int = Field(description="newest of its closes")
    rows: int = Field(description="closes of which it said something and the outcome is known")
    waiting: int = Field(description="of which the outcome is not known yet")
    trades: int = Field(description="on paper, one at a time for each symbol")
    net_return: float = Field(description="sum of theirs after costs, as fractions of what each staked")
    log_loss: float | None = Field(description="of what it said; none before an outcome")
    majority_log_loss: float | None = Field(
        description="of the share that was known when it was trained, on the same closes"
    )


class ShadowView(_Answer):
    """What trained models would have earned by the gate's plain rule, traded or not; none of it is in the account."""

    reason: str = Field("", description="why there is nothing to tell; empty where there is")
    policy: str = Field(description="what lets a model trade; empty: the account uses none")
    n_models: int = Field(0, description="with a record, in all")
    since_ms: int | None = Field(None, description="when the first of them was due")
    until_ms: int | None = Field(None, description="newest close")
    trades: int | None = Field(None, description="of all of them")
    net_return: float | None = Field(None, description="of all of them")
    time_ms: tuple[int, ...] = Field((), description="closes at which trades were over")
    total_return: tuple[float, ...] = Field((), description="sum of the net returns by then")
    models: tuple[ShadowModel, ...] = Field((), description="newest first")


class StatementRow(_Answer):
    """One amount of one transaction."""

    time_ms: int = Field(description="open of the candle of a fill, or the settlement's time")
    transaction: int = Field(description="number of the fill or payment; -1: what was paid in")
    what: str = Field(description="reason of the fill, funding, or paid in")
    symbol: str = Field(description="empty: of none")
    trade: int = Field(description="-1: of none")
    account: str
    amount: float = Field(description="a debit above zero; those of a transaction add up to zero")
    balance: float = Field(description="of this account after it")


class StatementPage(_Answer):
    """Amounts in double entry, newest first, and whether all of them together agree with the equity curve."""

    rows: tuple[StatementRow, ...]
    next: int | None = Field(description="cursor of the page behind this one; none: the last")
    amounts: int = Field(description="in all")
    transactions: int = Field(description="in all, each of which adds up to zero")
    cash: float = Field(description="that they end with, margin included")
    compared_with: str | None = Field(description="none: the equity curve does not reach that far")
    difference: float | None = Field(description="the curve's cash less this one")
    inputs_missing: int | None = Field(
        None,
        description="accepted, and no table tells of them yet; none: not known, an earlier version wrote the journal",
    )
