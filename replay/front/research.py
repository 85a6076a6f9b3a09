"""The other calls of the front door that need recorded data alone: windows, study, prove, fetch. Tables are DataFrames."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Final

import pandas as pd

from papertape.engine.candles import timeframe_ms
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.spec import EngineSpec
from papertape.replay.config import Config, make_config
from papertape.replay.config.cadence import cadence
from papertape.replay.config.spec import make_spec
from papertape.replay.events.events import in_timeframe, market_events
from papertape.replay.events.study import HORIZONS, StudyOptions, StudySeries
from papertape.replay.events.study import study as study_lanes
from papertape.replay.front.arguments import configuration
from papertape.replay.front.backtest import SeriesFiles
from papertape.replay.front.data import Data, tapes_of
from papertape.replay.front.progress import Progress, watched
from papertape.replay.front.strategy import Given, named, with_strategy
from papertape.replay.learning.learning_pass import lesson_of
from papertape.replay.learning.settings import LearningSettings
from papertape.replay.research.feature_subjects import feature_subject, given_subject
from papertape.replay.research.lookahead import Proof
from papertape.replay.research.lookahead import prove as prove_subject
from papertape.replay.research.series_study import series_lanes, study_series
from papertape.replay.research.subjects import Tapes, strategy_subject, together
from papertape.replay.research.training_windows import WindowStudy, compare_windows
from papertape.replay.research.trials.holdout import Locks
from papertape.replay.runtime.sync import wait_for
from papertape.replay.tapes.store import Store, Tape, time_ms

WINDOW_DAYS: Final = (30.0, 60.0, 90.0)
_LATEST_MS: Final = 1 << 52


def windows(
    data: Data = None,
    start: Any = None,
    end: Any = None,
    timeframe: str | None = None,
    *,
    symbol: str | Sequence[str] | None = None,
    days: Sequence[float] = WINDOW_DAYS,
    model: str | None = None,
    epochs: int | None = None,
    retrain_every: str | None = None,
    use_smc: bool | None = None,
    venue: str | None = None,
    config: Config | str | Path | None = None,
    progress: bool | Progress | None = None,
    **sections: Mapping[str, Any],
) -> pd.DataFrame:
    """
    Return how models do that learn from so many days each, walk-forward, on rows that no model has seen.

    One row per window and contender (challenger, logistic, majority): scores, accuracy with its interval of 90 %, and for
    the baselines how much lower the model's log-loss is, with its interval. Arguments are those of `backtest`.
    """
    given = {
        "start": ("data.start", start),
        "end": ("data.end", end),
        "timeframe": ("data.timeframe", timeframe),
        "model": ("signals.model", model),
        "epochs": ("learning.epochs", epochs),
        "retrain_every": ("signals.retrain_every", retrain_every),
        "use_smc": ("signals.use_smc", use_smc),
    }
    settings = configuration("windows", _names(windows), given, sections, config)
    tapes = tapes_of(data, settings, symbol, venue)
    with watched(progress) as on_progress:
        found = window_studies(settings, tapes, days, on_progress)[-1]
    return pd.DataFrame([row for window in found for row in _window_rows(window)])


def window_studies(
    config: Config, tapes: Sequence[Tape], days: Sequence[float], on_progress: Progress | None
) -> tuple[LearningSettings, tuple[int, int], list[WindowStudy]]:
    """Return how models are trained, the first and last close in ms, and what came of every window."""
    every = cadence(config.signals.retrain_every)
    if every is None or not config.signals.use_ml:
        raise ConfigError(
            "windows: without a model or a cadence there is nothing to compare; set signals.retrain_every"
        )
    Locks().refuse(config, tapes)
    learning, rows = lesson_of(config, tapes, on_progress)
    found = compare_windows(rows, learning, every, tuple(days), on_progress)
    return learning, (int(rows.time_ms[0]), int(rows.time_ms[-1])), found


def _window_rows(window: WindowStudy) -> list[dict[str, Any]]:
    """Return one row per contender."""
    rows = []
    for name, scores in window.scores.items():
        accuracy, better = window.accuracy[name], window.better.get(name)
        rows.append(
            {
                "days": window.days,
                "contender": name,
                "models": window.models,
                "passed": window.promoted,
                **scores,
                "accuracy_low": accuracy.lower,
                "accuracy_high": accuracy.upper,
                "better_by": better.value if better else float("nan"),
                "better_low": better.lower if better else float("nan"),
                "better_high": better.upper if better else float("nan"),
            }
        )
    return rows


def study(
    data: Data = None,
    timeframe: str | Sequence[str] | None = None,
    *,
    symbol: str | Sequence[str] | None = None,
    horizons: Sequence[int] = HORIZONS,
    cost_bps: float = 10.0,
    resamples: int = 1_000,
    seed: int = 1,
    rate: float = 0.1,
    funding: SeriesFiles = None,
    mark: SeriesFiles = None,
    index: SeriesFiles = None,
    open_interest: SeriesFiles = None,
    long_short_ratio: SeriesFiles = None,
    venue: str | None = None,
    progress: bool | Progress | None = None,
    **unknown: Any,
) -> pd.DataFrame:
    """
    Return what followed every kind of market event, beside the same at random times: the surest rows first.

    timeframe  longer than the tape's, or several; horizons: in bars; cost_bps: of a round trip
    rate       of false discoveries that is accepted
    funding, mark, index, open_interest, long_short_ratio
               files by symbol: these series are studied in place of market events (`deploy/docs/series.md`)
    """
    files = {
        "funding": funding,
        "mark": mark,
        "index": index,
        "open_interest": open_interest,
        "long_short_ratio": long_short_ratio,
    }
    given = {name: (f"data.{name}", paths) for name, paths in files.items()}
    settings = configuration("study", _names(study), given, unknown)
    options = StudyOptions(tuple(sorted(set(horizons))), resamples, seed, cost_bps, rate)
    wanted = (timeframe,) if isinstance(timeframe, str) or timeframe is None else timeframe
    tapes = tapes_of(data, settings, symbol, venue)
    sources = [in_timeframe(tape, frame) for tape in tapes for frame in dict.fromkeys(wanted)]
    venues = {source.venue for source in sources}
    labels = [s.symbol if len(venues) == 1 else f"{s.venue}:{s.symbol}" for s in sources]
    with watched(progress) as on_progress:
        if any(files.values()):
            return study_series(series_lanes(settings, sources, labels), options, on_progress)
        lanes = [
            StudySeries(
                label,
                source.candles,
                market_events(source, partial(on_progress, source.name) if on_progress else None),
            )
            for label, source in zip(labels, sources, strict=True)
        ]
        return study_lanes(lanes, options, on_progress)


def prove(
    strategy: Given = None,
    feature: Any = None,
    data: Data = None,
    *,
    symbol: str | Sequence[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    candles: int = 1_500,
    cuts: int = 25,
    seed: int = 1,
    venue: str | None = None,
    progress: bool | Progress | None = None,
    **unknown: Any,
) -> Proof:
    """
    Return the proof that a strategy or a feature neither looks ahead nor repaints, or the first leak.

    strategy  a name, `module:Class`, a class, or an instance
    feature   such as ema_12, `module:name`, a feature of your own, or a function of a table of candles; on the first of the
              data
    data      of several symbols for a strategy that reads more than one; the instants that all of them have
    candles   how many of the newest; cuts: how many places are tried
    """
    if (strategy is None) == (feature is None):
        raise ConfigError("prove: name either a strategy or a feature")
    settings = configuration("prove", _names(prove), {}, unknown)
    sources = tapes_of(data, settings, symbol, venue)
    step_ms = timeframe_ms(sources[0].timeframe)
    shown: Tapes = sources[0].candles[-candles:]
    if feature is None:
        told = {"name": named(strategy), "parameters": dict(parameters or {})}
        chosen = with_strategy(make_config({"strategy": told}, "prove"), strategy)

        def build() -> EngineSpec:
            return make_spec(chosen, sources)

        sources.sort(key=lambda tape: tape.symbol)

        shown = together([source.candles for source in sources], candles)
        is_ours = isinstance(strategy, str) and ":" not in strategy
        name, subject = f"strategy {told['name']}", strategy_subject(build, is_ours=is_ours)
    elif isinstance(feature, str):
        name, subject = f"feature {feature}", feature_subject(feature, step_ms)
    else:
        called = getattr(feature, "__qualname__", getattr(feature, "name", type(feature).__name__))
        name, subject = f"feature {called}", given_subject(feature, called, step_ms)
    with watched(progress) as on_progress:
        told_of = partial(on_progress, name) if on_progress else None
        return prove_subject(name, subject, shown, cuts, seed, told_of)


def fetch(
    symbol: str,
    start: Any,
    end: Any = None,
    timeframe: str = "1h",
    *,
    venue: str = "delta",
    profile: str = "india",
    rest_url: str | None = None,
    store: Store | str | Path | None = None,
    replace: bool = False,
    progress: bool | Progress | None = None,
    **unknown: Any,
) -> Tape:
    """
    Download final candles of a market into the store and return the tape; what is there already is kept.

    symbol  such as BTCUSD, or BTC/USDT:USDT; venue: delta, or a ccxt id; profile: Delta's environment
    replace fetch what is stored once more; rest_url: asked in place of the venue's address
    """
    # What talks to a venue takes a third of a second to import.
    from papertape.replay.importers.options import is_symbol
    from papertape.replay.runtime.clock import WallClock
    from papertape.replay.sources.download import Fetched, Wanted, fetch_first, no_progress
    from papertape.replay.sources.sources import make_source

    configuration("fetch", _names(fetch), {}, unknown)
    if not is_symbol(symbol):
        raise DataError(f"{symbol!r} is no symbol; write it like BTCUSD or BTC/USDT:USDT")
    length_ms = timeframe_ms(timeframe)
    first_ms = -(-time_ms(start) // length_ms) * length_ms
    last_ms = time_ms(end, is_end=True) if end is not None else _LATEST_MS
    if last_ms < first_ms:
        raise DataError(f"fetch: end {end} is before start {start}")
    kept = store if isinstance(store, Store) else Store(store)
    with watched(progress) as on_progress:

        async def download() -> Fetched:
            source = make_source(venue, WallClock(), profile=profile, rest_url=rest_url)
            wanted, told = Wanted(timeframe, first_ms, last_ms), on_progress or no_progress
            return await fetch_first([(source, symbol)], wanted, kept, renew=replace, on_progress=told)

        found = wait_for(download())
    return found.tape


def _names(call: Callable[..., Any]) -> list[str]:
    """Return the arguments of a call by name."""
    return [name for name in signature(call).parameters if name not in ("sections", "unknown")]
