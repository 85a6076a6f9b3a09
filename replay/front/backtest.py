"""`backtest`: from arguments as one types them to a result."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Final

from papertape.replay.backtesting.result import Result
from papertape.replay.backtesting.run import run_backtest
from papertape.replay.config import Config
from papertape.replay.front.arguments import configuration
from papertape.replay.front.data import Data, nameless, names_of, tapes_of
from papertape.replay.front.progress import Progress, watched
from papertape.replay.front.strategy import Given, named, named_function, with_strategy
from papertape.replay.research.trials.holdout import admitted
from papertape.replay.research.trials.recording import on_record
from papertape.replay.tapes.store import Tape

SeriesFiles = Mapping[str, str | Path] | None


def backtest(
    data: Data = None,
    start: Any = None,
    end: Any = None,
    timeframe: str | None = None,
    initial_capital: float | None = None,
    *,
    symbol: str | Sequence[str] | None = None,
    strategy: Given = None,
    parameters: Mapping[str, Any] | None = None,
    symbol_parameters: Mapping[str, Mapping[str, Any]] | None = None,
    model: str | None = None,
    use_ml: bool | None = None,
    use_smc: bool | None = None,
    retrain_every: str | None = None,
    confidence_threshold: float | None = None,
    risk_level: str | None = None,
    fee_function: str | Callable[..., float] | None = None,
    venue: str | None = None,
    gaps: str | None = None,
    no_volume: str | None = None,
    funding: SeriesFiles = None,
    mark: SeriesFiles = None,
    index: SeriesFiles = None,
    open_interest: SeriesFiles = None,
    long_short_ratio: SeriesFiles = None,
    store: str | Path | None = None,
    config: Config | str | Path | None = None,
    tapes: Sequence[Tape] = (),
    models: Sequence[tuple[int, bytes]] = (),
    holdout: bool = False,
    progress: bool | Progress | None = None,
    **sections: Mapping[str, Any],
) -> Result:
    """
    Replay recorded candles through the engine and return the result.

    data          a tape's name in the store, a file, a DataFrame, a Tape, several of them, or {symbol: any of them};
                  none: the embedded sample, which answers to BTCUSDT
    start, end    dates or times in UTC, both included
    timeframe     of the strategy; fills happen on the tape's own, finer one
    symbol        without data: the tape's name; with a table or a file: what its market is called
    strategy      a built-in name (confluence), `module:Class`, a class, or an instance; `parameters` go to it
    symbol_parameters
                  parameters that are other for a symbol: {"ETHUSDT": {"fast": 5}}
    model         cnn_lstm, lstm, transformer, lightgbm or logistic; use_ml, use_smc: whether models and structure take part
    retrain_every 30d, 12h, daily, weekly, monthly, cron fields in UTC, or never: when models are trained on what was
                  known by then, in a process of their own, and judged before they take over
    risk_level    low, medium or high: 0.5 %, 1 % or 2 % of equity at the stop
    fee_function  yours for what a fill pays: a function at the top of a module or notebook, or `module:name`
                  (`deploy/docs/fees.md`)
    venue         of a table or a file that does not say it, such as binance-spot: its costs and sizes
    gaps          of candles that no tape has: absent (flat candles keep the clock going) or skip (nothing happens)
    no_volume     of a tape of mark prices, or without any volume: refuse or trade
    funding, mark, index, open_interest, long_short_ratio
                  files of series beside the candles, by symbol (`deploy/docs/series.md`)
    store         the folder of tapes that names are looked for in
    config        a ready configuration or its file, in place of everything above but data, symbol and venue
    tapes         the same as data
    models        (close in ms at which it takes over, artefact), in any order, in place of training any
    holdout       read what `hold_out` has locked: once, by one configuration, and put on record before it is read
    progress      None: shown in a notebook; True or False; or a function (what, done, of)
    sections      whole sections of the configuration, for example `account={"sizing": "all_in"}`

    What is not given is the configuration's own default (`papertape config schema`).
    Raises ConfigError or DataError, with one sentence each.

    >>> january = {"start": "2021-01-01", "end": "2021-01-31", "use_ml": False}
    >>> result = backtest(**january, strategy="ema_cross", account={"sizing": "all_in"})
    >>> len(result.equity) == 31 * 24, result.metrics["trades"] == len(result.trades) > 0
    (True, True)
    """
    asked = dict(locals())
    asked["data"] = data if data is not None else (tapes or None)
    settings, found = settled("backtest", PARAMETERS, asked)
    held_out = admitted(settings, found, reads_holdout=holdout, models=models)
    with watched(progress) as on_progress:
        result = run_backtest(settings, found, on_progress, models or None)
    result.tapes = nameless(found, asked["data"], settings, symbol, venue)
    return on_record(settings, result, held_out=held_out, models=models)


def settled(call: str, parameters: Sequence[str], asked: Mapping[str, Any]) -> tuple[Config, list[Tape]]:
    """
    Return the configuration and the tapes that the arguments of `backtest` mean; those that are not there were not given.

    call  whose arguments they are, for messages; parameters: all that it takes

    Raises ConfigError or DataError.
    """
    one = defaultdict(lambda: None, asked)
    given = {name: (key, one[name]) for name, key in _KEYS.items()}
    if one["store"] is not None:
        given["store"] = ("data.store", str(one["store"]))
    given["strategy"] = ("strategy.name", named(one["strategy"]))
    given["fee_function"] = ("account.fee_function", named_function(one["fee_function"]))
    threshold, chosen = one["confidence_threshold"], one["config"]
    if chosen is not None:
        given["confidence_threshold"] = ("", threshold)
    elif threshold is not None:
        everything = {"confidence_threshold": threshold, **dict(one["parameters"] or {})}
        given["parameters"] = ("strategy.parameters", everything)
    settings = configuration(call, parameters, given, one["sections"] or {}, chosen)
    data = one["data"] if one["data"] is not None else (one["tapes"] or None)
    found = tapes_of(data, settings, one["symbol"], one["venue"])
    if names := names_of(found, data, one["symbol"]):
        settings = settings.changed(data={"tapes": names})
    return with_strategy(settings, one["strategy"]), found


# Arguments that are a key of the configuration as they stand.
_KEYS: Final = {
    "start": "data.start",
    "end": "data.end",
    "timeframe": "data.timeframe",
    "gaps": "data.gaps",
    "no_volume": "data.no_volume",
    "funding": "data.funding",
    "mark": "data.mark",
    "index": "data.index",
    "open_interest": "data.open_interest",
    "long_short_ratio": "data.long_short_ratio",
    "store": "data.store",
    "initial_capital": "account.capital",
    "risk_level": "account.risk_level",
    "strategy": "strategy.name",
    "parameters": "strategy.parameters",
    "symbol_parameters": "strategy.symbols",
    "use_ml": "signals.use_ml",
    "use_smc": "signals.use_smc",
    "model": "signals.model",
    "retrain_every": "signals.retrain_every",
}
PARAMETERS: Final = [name for name in signature(backtest).parameters if name not in ("tapes", "sections")]
# Those of `backtest` that calls which replay many times take as well: models of one replay are none of another, and no search reads
# what is held out.
SHARED_PARAMETERS: Final = [name for name in PARAMETERS if name not in ("models", "holdout")]
