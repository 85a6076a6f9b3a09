"""One engine over recorded tapes: from a configuration to a result."""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from operator import attrgetter
from typing import Any, Final

import numpy as np

from papertape.engine.candles import CANDLE
from papertape.engine.core import Engine
from papertape.engine.events import Event, MarketChange, NewModel
from papertape.engine.features.resample import FRAME_STATE, aggregate
from papertape.engine.jit import Rows, copy_rows, locked_rows
from papertape.engine.loop import run
from papertape.engine.performance.curve import CurveColumns
from papertape.engine.performance.statement import statement
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies.protocol import KernelStrategy
from papertape.replay.backtesting.prepare import Progress, RunPlan, model_events, prepared
from papertape.replay.backtesting.recorder import Ending, Recorder, end_at, refuse_faults
from papertape.replay.backtesting.result import Result
from papertape.replay.backtesting.summary import Outcome, Run, summarise
from papertape.replay.config import Config
from papertape.replay.config.spec import load_tapes, make_spec
from papertape.replay.feed import ReplayFeed, Told
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.feasible import learning_faults
from papertape.replay.report.features import FeatureLines, drawn_columns
from papertape.replay.report.orders import last_stops, orders_left_out, trade_tags
from papertape.replay.report.steps import StepLines
from papertape.replay.report.structure import DRAWN_KINDS, left_out
from papertape.replay.runtime.allocation import return_free_memory
from papertape.replay.runtime.compile import compile_kernels
from papertape.replay.runtime.sync import wait_for
from papertape.replay.runtime.warm import silent
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.tables import Table, statement_columns, trade_columns


def run_backtest(
    config: Config,
    tapes: Sequence[Tape],
    on_progress: Progress | None = None,
    models: Sequence[tuple[int, bytes]] | None = None,
    learned: Learned | None = None,
) -> Result:
    """
    Return the result of replaying these tapes, with its sensitivity runs when configured.

    models   None: trained on the way, as `signals.retrain_every` says; otherwise these take over and none is trained
    learned  how the models came about, when it is known already
    """
    ready = prepared(config, tapes, on_progress, models, learned)
    tapes, spec, cuts, learned = ready.tapes, ready.spec, ready.cuts, ready.learned
    main = _replayed(ready, config, on_progress)
    return_free_memory()
    bars = {
        symbol: _bars(cut, main.engine.length_ms, main.engine.base_ms)
        for symbol, cut in zip(main.engine.symbols, cuts, strict=True)
    }
    summary, labels = summarise(config, tapes, bars, main, learned, ready.recorded)
    if config.report.study:
        summary["study"] = _study(tapes, bars, spec.timeframe, on_progress)
    summary["notes"] += _not_drawn(main)
    if learned is not None:
        faults = learning_faults(config, spec.timeframe)
        summary["notes"] += [f"No model can ever trade so: {fault}." for fault in faults]
    trades = trade_columns(main.trades, main.engine.symbols, labels, main.engine.markets)
    recorder = main.recorder
    trades["last_stop_price"] = last_stops(trades, recorder.orders, recorder.fills)
    trades |= trade_tags(trades, recorder.orders, recorder.fills)
    return Result(
        summary, trades, main.marks, recorder.fills, recorder.decisions, bars,
        [data for _, data in main.models if data], recorder.events, orders=recorder.orders, limits=recorder.limits,
        features=recorder.features, payments=recorder.payments, booked=_booked(main), lines=recorder.lines,
        changes=recorder.changes,
    )  # fmt: skip


def _replayed(ready: RunPlan, config: Config, on_progress: Progress | None) -> Run:
    """Return the run itself, with the outcomes of its sensitivity runs when configured."""
    spec, cuts, models, told = ready.spec, ready.cuts, ready.models, ready.events
    gaps = config.data.gaps
    telling = replace(spec, events="smc" in spec.requests)  # for drawing; nothing depends on it
    compile_kernels(telling)
    beside = _changed_specs(spec) if config.report.sensitivity else {}
    # A strategy in Python is shown its account, so it has to run again for another one.
    is_kernel = isinstance(spec.strategy, KernelStrategy)
    with ThreadPoolExecutor(1) as elsewhere:
        # The hash of a new tape takes a tenth of its replay, and a core of its own where there is one.
        elsewhere.map(attrgetter("sha256"), ready.tapes)
        main = replay(
            telling,
            cuts,
            gaps,
            _named(on_progress, "replay"),
            models=models,
            events=told,
            is_drawn=True,
            followers=beside if is_kernel else {},
        )
    for name, changed in {} if is_kernel else beside.items():
        heard = [(time_ms, _HEARD.get(name, _as_it_is)(event)) for time_ms, event in told]
        run = replay(changed, cuts, gaps, _named(on_progress, name), models=models, events=heard)
        equity = CurveColumns(
            units_per_quote=spec.units_per_quote, time_ms=main.marks["time_ms"], equity=run.marks["equity"]
        )
        main.others[name] = Outcome(run.trades, equity)
        del run
    return main


def _booked(run: Run) -> Callable[[], Table]:
    """Return what makes every amount of a run in double entry: of a fill there are several, so only who asks has them."""
    fills, payments = run.recorder.fills, run.recorder.payments
    changes, spec, times = run.recorder.changes, run.engine.spec, run.marks["time_ms"]

    def booked() -> Table:
        begins_ms = int(times[0]) if len(times) else 0
        rows = statement(fills, payments, spec.market_rows(), spec.capital_units, changes, begins_ms)
        return statement_columns(rows, spec.symbols, spec.units_per_quote)

    return booked


def replay(
    spec: EngineSpec,
    candles: Sequence[Rows],
    gaps: Any = "absent",
    on_progress: Callable[[int, int], None] | None = None,
    batch_rows: int | None = None,
    models: Sequence[tuple[int, bytes]] = (),
    events: Sequence[Told] = (),
    is_drawn: bool = False,
    followers: Mapping[str, EngineSpec] | None = None,
) -> Run:
    """
    Run one engine over candles by symbol, in symbol order, and return everything it reported.

    Raises StrategyError at the first candle at which a user's strategy fails or asks for what no order can mean.

    models  (close in ms at which it takes over, artefact); events: (time in ms, anything else that happened)
    is_drawn   of market structure only what a report draws is kept, and features as well
    followers  accounts with other markets or settings that act on the same decisions, by name
    """
    engine = Engine(spec)
    engine.on_fault = end_at
    scheduled = [*model_events(models), *events]
    feed = ReplayFeed(
        candles,
        engine.base_ms,
        gaps=gaps,
        batch_rows=batch_rows or 2048 * len(candles),
        on_progress=on_progress,
        events=scheduled,
    )
    endings = {name: Ending(feed.n_instants, spec.units_per_quote) for name in followers or {}}
    beside = {
        name: engine.follow(other, endings[name], _HEARD.get(name, _as_it_is))
        for name, other in (followers or {}).items()
    }
    kinds = DRAWN_KINDS if is_drawn else None
    recorder = Recorder(event_kinds=kinds, expected=feed.n_instants, units_per_quote=spec.units_per_quote)
    if is_drawn:
        engine.watch = recorder.features = _lines(engine, feed.n_instants)
        recorder.lines = StepLines(engine.symbols)
        engine.watch_answers = recorder.lines.answered
    started = time.perf_counter()
    warm_up(spec, candles, [event for _, event in scheduled])
    warm = time.perf_counter()
    wait_for(run(engine, feed, [recorder, refuse_faults]))
    done = time.perf_counter()
    recorder.end(engine.open_trades())
    marks = recorder.curve
    others = {
        name: Outcome(*ending.take(beside[name].open_trades(), marks["time_ms"]))
        for name, ending in endings.items()
    }
    end_ms = feed.last_ms + engine.base_ms
    used = sorted((model for model in models if model[0] <= end_ms), key=lambda model: model[0])
    return Run(engine, recorder, recorder.trades, marks, feed, used, done - warm, warm - started, others)


def _not_drawn(run: Run) -> list[str]:
    """Return a sentence for everything that a report draws only in part."""
    engine, recorder = run.engine, run.recorder
    said = left_out(recorder.events, engine.symbols, engine.length_ms)
    said += orders_left_out(recorder.orders, recorder.fills, engine.symbols)
    return said + (recorder.features.left_out() if recorder.features is not None else [])


def _lines(engine: Engine, n_instants: int) -> FeatureLines:
    """Return what keeps the features that the engine's strategy names."""
    columns = drawn_columns(engine.spec.requests, engine.frames.columns)
    n_closes = n_instants * engine.base_ms // engine.length_ms
    return FeatureLines(columns, len(engine.symbols), n_closes)


def warm_up(spec: EngineSpec, candles: Sequence[Rows], events: Sequence[Event] = ()) -> None:
    """Compile or load every kernel that a run needs, on a throw-away engine, the first few candles and no user's code."""
    if not isinstance(spec.strategy, KernelStrategy):
        spec = silent(spec)
    engine = Engine(spec)
    for event in events:
        if isinstance(event, NewModel):
            engine.step(event)
    starts = [rows[:2] for rows in candles]
    n = min(len(rows) for rows in starts)
    joined = np.zeros((n, len(starts)), CANDLE)
    for index, rows in enumerate(starts):
        joined[:, index] = rows[:n]
        joined["symbol"][:, index] = index
        joined["open_ms"][:, index] = starts[0]["open_ms"][:n]
    engine.step(joined.reshape(-1))
    engine.open_trades()


def _changed_specs(spec: EngineSpec) -> dict[str, EngineSpec]:
    """Return the specification with every cost doubled, and with everything one candle later."""
    own = spec.fee_function
    later = replace(spec.settings, latency_bars=spec.settings.latency_bars + 1)
    return {
        _COSTLY: replace(
            spec, markets=[m.with_doubled_costs for m in spec.markets], fee_function=own and own.doubled
        ),
        f"one {spec.base_timeframe} candle later": replace(spec, settings=later),
    }


def _as_it_is(event: Event) -> Event:
    return event


def _costly(event: Event) -> Event:
    """Return an event as it is where every cost counts twice."""
    if not isinstance(event, MarketChange):
        return event
    return event._replace(figures=Market(**event.figures).with_doubled_costs.plain())


_COSTLY: Final = "costs ×2"
_HEARD: Final = {_COSTLY: _costly}


def _bars(candles: Rows, length_ms: int, base_ms: int) -> Rows:
    """Return the candles of the strategy's timeframe, for drawing."""
    if length_ms == base_ms:
        return candles
    state = np.zeros(1, FRAME_STATE)
    closed = np.zeros(2 * len(candles), CANDLE)
    at = np.zeros(2 * len(candles), np.int64)
    n = aggregate(locked_rows(candles), 0, 1, len(candles), base_ms, length_ms, state[0], closed, at)
    return copy_rows(closed[:n])


def _study(
    tapes: Sequence[Tape], bars: Mapping[str, Rows], timeframe: str, on_progress: Progress | None
) -> dict[str, Any]:
    """Return what followed every market event on the strategy's timeframe, for the report; pandas is loaded for it."""
    from papertape.replay.events.events import market_events
    from papertape.replay.events.study import StudyOptions, StudySeries, study
    from papertape.replay.report.event_study import sentence, study_section

    sources = [replace(t, candles=bars[t.symbol], timeframe=timeframe, quality={}) for t in tapes]
    lanes = [StudySeries(source.symbol, source.candles, market_events(source)) for source in sources]
    options = StudyOptions()
    section = study_section(study(lanes, options, on_progress), options)
    return {**section, "sentence": sentence(section)}


def _named(on_progress: Progress | None, name: str) -> Callable[[int, int], None] | None:
    """Return a progress callback that says what is running."""
    if on_progress is None:
        return None
    return lambda done, total: on_progress(name, done, total)


__all__ = ["load_tapes", "make_spec", "replay", "run_backtest"]
