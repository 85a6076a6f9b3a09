"""
One configuration for replay and live: pydantic over TOML, read once at the edge.

    learning live   the sections about models, and those that only live operation reads
    limits          the sections about the account, about what may be lost and held, and about its parts
    cadence         when models are trained
    market_settings a market's costs, sizes and margin, as the configuration has them
    markets spec    market data, overridden by the configuration; what an engine is built from
    series          files of series beside candles
    fields          what a section and a dataclass have in common
    user_code       a user's code, looked at and not run
    declarations    parameters that it declares, likewise
    template        a configuration to begin with

Unknown keys are refused, all faults are told at once with their path, and the nearest valid name is suggested.
"""

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from papertape.engine.broker.ledger import DECIMALS
from papertape.engine.candles import TIMEFRAMES
from papertape.engine.errors import ConfigError, did_you_mean
from papertape.replay.config.cadence import cadence
from papertape.replay.config.fields import IN_QUOTES, key_part, key_parts, truths_for_numbers, utc_time
from papertape.replay.config.learning import Drift, Learning
from papertape.replay.config.limits import Account, LimitSettings, PortfolioSettings
from papertape.replay.config.live import Backtests, Daemon, Live, Notifications
from papertape.replay.config.market_settings import MarketSettings

Timeframe = Literal["1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w"]
assert set(get_args(Timeframe)) == set(TIMEFRAMES)


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class Data(_Section):
    """What is replayed."""

    tapes: tuple[str, ...] = Field((), description="names in the store or files; none: the sample")
    store: str | None = Field(None, description="folder of tapes; default: tapes/ or $PAPERTAPE_TAPES")
    start: datetime | None = Field(None, description="first candle, UTC")
    end: datetime | None = Field(None, description="up to and including this day or time, UTC")
    timeframe: Timeframe | None = Field(None, description="the strategy's; default: the tape's own")
    gaps: Literal["absent", "skip"] = Field(
        "absent", description="absent: flat candles keep the clock going; skip: nothing happens"
    )

    funding: dict[str, Path] = Field(
        default_factory=dict, description="files of funding rates, by the symbol of a perpetual"
    )
    mark: dict[str, Path] = Field(
        default_factory=dict, description="files of mark prices, likewise; liquidation is tested on them"
    )
    index: dict[str, Path] = Field(default_factory=dict, description="files of index prices")
    open_interest: dict[str, Path] = Field(default_factory=dict, description="files of open interest")
    long_short_ratio: dict[str, Path] = Field(default_factory=dict, description="files of long/short ratios")
    no_volume: Literal["refuse", "trade"] = Field(
        "refuse", description="a tape of marks, or without any volume: refused, or traded on"
    )

    @field_validator("start", "end", mode="before")
    @classmethod
    def _dates_are_utc(cls, value: Any, info: ValidationInfo) -> Any:
        """Take a bare date as the whole UTC day, and a time without zone as UTC."""
        return None if value is None else utc_time(value, is_end=info.field_name == "end")

    @model_validator(mode="after")
    def _span_is_one(self) -> Self:
        """Refuse a span that ends before it begins."""
        if self.start is not None and self.end is not None and self.end < self.start:
            raise ValueError(f"start {_shown(self.start)} is after end {_shown(self.end)}")
        return self


class ScheduledParameters(_Section):
    """Parameters of the strategy from a time on."""

    start: datetime = Field(description="the first close after it is the first that they decide, UTC")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="that are other than those of the strategy"
    )
    symbols: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="that are other than those of the symbol, by symbol"
    )

    @field_validator("start", mode="before")
    @classmethod
    def _date_is_utc(cls, value: Any) -> Any:
        return utc_time(value, is_end=False)


class StrategySettings(_Section):
    """Which strategy, with which parameters."""

    name: str = Field("confluence", description="a built-in strategy or module:Class")
    parameters: dict[str, Any] = Field(
        default_factory=dict, description="of the strategy, by the names of its arguments"
    )
    symbols: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description="parameters that are other for a symbol, as [strategy.symbols.BTCUSDT] fast = 5; whatever the schedule says",
    )
    start: datetime | None = Field(
        None,
        description="the first close after it is the first that the strategy is asked about, UTC; before, features and models warm up",
    )
    schedule: tuple[ScheduledParameters, ...] = Field(
        (), description="other parameters from later times on, as { start, parameters } in order"
    )
    at_switch: Literal["carry", "close"] = Field(
        "carry",
        description="what the schedule does with positions: carried with their brackets and what rests, or closed at the next open",
    )
    # A class that somebody gave in place of its name; no file can set it, and none is written with it.
    _made_by: Callable[..., Any] | None = PrivateAttr(None)

    @field_validator("start", mode="before")
    @classmethod
    def _date_is_utc(cls, value: Any) -> Any:
        return None if value is None else utc_time(value, is_end=False)

    @property
    def made_by(self) -> Callable[..., Any] | None:
        """Return what makes the strategy from its parameters; None: what the name says."""
        return self._made_by

    def parameters_in(self, entry: ScheduledParameters | None = None, symbol: str = "") -> dict[str, Any]:
        """
        Return the parameters in an entry of the schedule, or before it; of a symbol, or of those without own ones.

        What is said of a symbol counts more than what is said of all, whenever it is said.
        """
        of_all = {**self.parameters, **(entry.parameters if entry else {})}
        own = self.symbols.get(symbol, {}), entry.symbols.get(symbol, {}) if entry else {}
        return {**of_all, **own[0], **own[1]}

    def symbols_in(self, entry: ScheduledParameters | None = None) -> list[str]:
        """Return the symbols with parameters of their own in an entry of the schedule, or before it."""
        return sorted({*self.symbols, *(entry.symbols if entry else ())})

    def made_with(self, name: str, made_by: Callable[..., Any]) -> "StrategySettings":
        """Return these settings with a strategy of that name, and with what makes it."""
        found = self.model_copy(update={"name": name})
        found._made_by = made_by
        return found


class Signals(_Section):
    """Which components take part, how models are renewed, and what they read."""

    use_ml: bool = Field(True, description="whether a model takes part")
    use_smc: bool = Field(True, description="whether Smart Money Concepts take part")
    model: Literal["cnn_lstm", "lstm", "transformer", "lightgbm", "logistic"] = Field(
        "cnn_lstm", description="kind that is trained; logistic is the baseline"
    )
    model_use: Literal["component", "filter", "sizer"] = Field(
        "component",
        description="by confluence: as a score beside the others, to let their entries through or not, or to size them",
    )
    model_asks: Literal["side", "signal"] = Field(
        "side",
        description="which side of a trade pays more; or whether the strategy's own signal pays, after costs, which filter "
        "and sizer can ask",
    )
    retrain_every: str = Field(
        "30d", description="30d, 12h, daily, weekly, monthly, five cron fields in UTC, or never"
    )
    own_features: tuple[Annotated[str, Field(pattern=r"^[\w.]+:\w+$")], ...] = Field(
        (), description="yours, as module:name; each can then be asked for by its name wherever a feature can"
    )
    extra_features: tuple[str, ...] = Field((), description="computed beside the strategy's own")
    model_features: tuple[str, ...] = Field(
        (),
        description="read by models in place of the built-in list; a live account fixes them when it opens",
    )
    model_timeframes: tuple[Timeframe, ...] = Field(
        (), description="beside the strategy's, on which models read the built-in list too"
    )

    @field_validator("retrain_every")
    @classmethod
    def _cadence_is_one(cls, value: str) -> str:
        try:
            cadence(value)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return value


class Reporting(_Section):
    """What a result holds beside the run itself."""

    name: str | None = Field(None, description="of the run; default: the strategy's")
    origin: str | None = Field(
        None,
        max_length=4_000,
        description="where strategy and parameters come from, in your words; shown above the figures",
    )
    sensitivity: bool = Field(True, description="run again with costs ×2 and one candle later")
    benchmarks: bool = Field(True, description="buy and hold and always flat beside the run")
    random_draws: int = Field(200, ge=0, le=10_000, description="the same positions at random times; 0: none")
    regimes: bool = Field(True, description="name the kind of market in which each trade was decided")
    study: bool = Field(False, description="measure what followed every market event")
    statement: bool = Field(False, description="write every amount in double entry")
    risk_free_rate: float = Field(0.0, ge=-0.5, le=0.5, description="annual")


class Config(_Section):
    """A whole configuration."""

    data: Data = Data()
    account: Account = Account()
    limits: LimitSettings = LimitSettings()
    portfolio: PortfolioSettings = PortfolioSettings()
    market: MarketSettings = Field(MarketSettings(), description="for every market")
    markets: dict[str, MarketSettings] = Field(default_factory=dict, description="by symbol")
    strategy: StrategySettings = StrategySettings()
    signals: Signals = Signals()
    learning: Learning = Learning()
    drift: Drift = Drift()
    report: Reporting = Reporting()
    live: Live = Live()
    daemon: Daemon = Daemon()
    backtests: Backtests = Backtests()
    notifications: Notifications = Notifications()

    def changed(self, **sections: Mapping[str, Any]) -> Self:
        """Return the same with other values of some keys, by section; nothing is checked again."""
        return self.model_copy(update={n: getattr(self, n).model_copy(update=v) for n, v in sections.items()})

    def recorded(self) -> dict[str, Any]:
        """Return it as a result keeps it, with its money's unit: what is said of a currency may be another one day."""
        values = self.model_dump(mode="json")
        if self.account.decimals != DECIMALS:
            values["account"]["money_decimals"] = self.account.decimals
        return values

    def __repr__(self) -> str:
        """Return what differs from the defaults."""
        return f"Config({self.model_dump(mode='json', exclude_defaults=True)})"


def load_config(path: Path | None = None, changes: Sequence[str] = ()) -> Config:
    """
    Return the configuration of a TOML file with `section.key=value` changes applied to it.

    Raises ConfigError with every fault, one a line.

    >>> load_config(changes=["account.capital=5000", "data.timeframe=4h"]).account.capital
    5000.0
    """
    values: dict[str, Any] = {}
    where = "configuration"
    if path is not None:
        where = str(path)
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: not valid TOML: {error}") from error
    for change in changes:
        _apply(values, change)
    return make_config(values, where)


def make_config(values: Mapping[str, Any], where: str = "configuration") -> Config:
    """Return a checked configuration, or raise ConfigError with every fault, one a line."""
    try:
        made = Config.model_validate(values)
    except ValidationError as error:
        lines = [
            _fault(fault["loc"], fault["type"], fault["msg"], fault["input"]) for fault in error.errors()
        ]
        raise ConfigError(f"{where}: " + f"\n{where}: ".join(lines)) from error
    if truths := list(truths_for_numbers(values, made)):
        raise ConfigError(
            "\n".join(f"{where}: {path}: input should be a number, not true or false" for path in truths)
        )
    return made


# What pydantic calls by the names of Python's types, as a TOML file has it.
_IN_TOML: Final = {
    "tuple_type": 'input should be a list, as in ["A", "B"]',
    "list_type": 'input should be a list, as in ["A", "B"]',
    "path_type": "input should be the path of a file or folder, in quotes",
    "model_type": "input should be a section with keys of its own",
}


def _fault(location: Iterable[int | str], kind: str, message: str, value: Any) -> str:
    """Return one fault as `path: what, value, way out`."""
    parts = [str(part) for part in location]
    path = ".".join(map(key_part, parts))
    is_by_symbol = len(parts) == 3 and parts[0] in ("data", "markets")
    if is_by_symbol and isinstance(value, Mapping) and kind in ("extra_forbidden", "path_type"):
        return f"{path}: it has no keys below it; {IN_QUOTES}"
    if kind == "extra_forbidden":
        return f"{path}: unknown key{did_you_mean(parts[-1], _keys_at(parts[:-1]))}"
    if kind == "value_error":
        return f"{path}: {message.removeprefix('Value error, ')}"  # it names the value itself
    message = _IN_TOML.get(kind) or message[0].lower() + message[1:]
    return f"{path}: {message}, not {value!r}" if not isinstance(value, Mapping) else f"{path}: {message}"


def _keys_at(parts: Sequence[str]) -> list[str]:
    """Return the valid keys of a section, or of one of several that stand in a list."""
    model: type[BaseModel] = Config
    for part in parts:
        if part.isdecimal() and model is not Config:
            continue  # a row of a table
        if part not in model.model_fields:
            return list(MarketSettings.model_fields)  # markets.SYMBOL
        annotation = model.model_fields[part].annotation
        for found in (annotation, *_parts_of(annotation)):
            if isinstance(found, type) and issubclass(found, BaseModel):
                model = found
                break
    return list(model.model_fields)


def _parts_of(annotation: Any) -> Iterator[Any]:
    """Yield what an annotation is made of: of tuple[Row, ...] | None the row."""
    for part in get_args(annotation):
        yield part
        yield from _parts_of(part)


def _apply(values: dict[str, Any], change: str) -> None:
    """Set `a.b.c=value`; the value is TOML, and what is not TOML is text."""
    path, separator, text = change.partition("=")
    if not separator or not path.strip():
        raise ConfigError(f"--set {change!r}: write section.key=value")
    try:
        value = tomllib.loads(f"x = {text}")["x"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, key = key_parts(path.strip())
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigError(f"--set {change!r}: {section!r} is a value, not a section")
    values[key] = value


def _shown(time: datetime) -> str:
    """Return a time without the zeros that it does not need."""
    return time.strftime("%Y-%m-%d %H:%M").removesuffix(" 00:00")
