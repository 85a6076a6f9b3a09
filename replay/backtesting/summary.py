"""From a finished run to the content of result.json: metrics, tables, benchmarks, lineage, doubts."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.broker.ledger import shown_decimals, unit_convention
from papertape.engine.broker.risk.changes import told
from papertape.engine.candles import FLAG_ABSENT, FLAG_NAMES, FLAG_SYNTHETIC
from papertape.engine.core import Engine
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.model import read_artefact
from papertape.engine.performance import (
    CONVENTIONS,
    REGIME_NAMES,
    Performance,
    always_flat,
    breakdowns,
    buy_and_hold,
    measure,
    monthly_returns,
    random_entry,
    regimes_when,
)
from papertape.engine.performance.curve import CurveColumns, Marks, units_of
from papertape.engine.performance.metrics import mean_of
from papertape.engine.performance.portfolio import allotments, portfolio
from papertape.replay.backtesting.doubts import (
    doubts,
    flag_sentences,
    liquidation_sentences,
    series_sentences,
    synthetic_sentences,
)
from papertape.replay.backtesting.limits import limits_section
from papertape.replay.backtesting.models import model_section, newest_sentences, why_none
from papertape.replay.backtesting.recorder import Recorder
from papertape.replay.backtesting.spans import span_sentences
from papertape.replay.config import Config
from papertape.replay.config.series import NO_SERIES, RecordedSeries
from papertape.replay.feed import ReplayFeed
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.given import given_sentences
from papertape.replay.learning.settings import asks_model
from papertape.replay.report.structure import left_out
from papertape.replay.tapes.quality import Brief, brief
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.tables import order_counts, refusal_counts
from papertape.replay.tapes.untraded import fills_without_volume, sentence

FORMAT: Final = 1
_BENCHMARK_METRICS: Final = ("total_return", "cagr", "sharpe", "sortino", "max_drawdown", "calmar")
_FILL_CONVENTIONS: Final = (
    "A decision at the close of a candle fills at the open of the next base candle, half spread and slippage against us.",
    "Several symbols in one instant: every close at the open, then every entry, sized on one book and scaled down pro rata where buying power does not suffice for all, then brackets, then marks.",
    "Stop and target inside one candle: the stop; what the target would have made is kept as the optimistic bound.",
    "A gap through a stop fills at the open; a target fills at its price without slippage and pays the taker fee.",
    "Working orders are matched on the way open, adverse extreme, other extreme, close; what begins inside a candle meets only what surely came after it; limit orders fill when the price trades through them (account.limit_fill).",
    "Nothing fills in an absent candle, and a strategy candle that is absent as a whole decides nothing.",
    "An account whose equity is not above 0 at a close is ruined: its positions are closed at the next open, and nothing is opened any more.",
    "Limits of the account look at its equity at every close of a base candle; what they close fills at the next open.",
    "A trade that is open at the end is marked at the last close; its exit costs are not included.",
)


class Outcome(NamedTuple):
    """What became of one account: all that is asked of a run that stands beside another."""

    trades: Rows  # open ones included, at their mark
    marks: Marks


@dataclass(slots=True)
class Run:
    """
    One engine after one feed: what it reported, its trades with the open ones marked, its marks by column, and how long
    it took (kernels are compiled or loaded before the clock of the replay starts).
    """

    engine: Engine
    recorder: Recorder
    trades: Rows
    marks: CurveColumns
    feed: ReplayFeed
    models: Sequence[tuple[int, bytes]]
    wall_s: float
    kernels_s: float
    others: dict[str, Outcome] = field(default_factory=dict)


def summarise(
    config: Config,
    tapes: Sequence[Tape],
    bars: Mapping[str, Rows],
    main: Run,
    learned: Learned | None = None,
    recorded: RecordedSeries = NO_SERIES,
) -> tuple[dict[str, Any], list[str]]:
    """Return the content of result.json, and the regime in which each trade was decided."""
    capital, trades, marks = config.account.capital, main.trades, main.marks
    qualities = [brief(tape.candles, tape.timeframe) for tape in tapes]
    performance, others, benchmarks, regime_codes = _measurements(config, main, bars)
    n_untraded = fills_without_volume(main.recorder.fills, main.feed.tapes)
    spec = main.engine.spec
    fee_said = () if spec.fee_function is None else (spec.fee_function.said,)
    unit, unit_said = spec.units_per_quote, unit_convention(spec.money_decimals, config.account.quote)
    tables = breakdowns(trades, main.engine.symbols, regime_codes if config.report.regimes else None, unit)
    model = model_section(_lineage(main), learned, main.recorder.predictions, bars, trades, unit)
    summary: dict[str, Any] = {
        "format": FORMAT,
        "papertape": version("papertape"),
        "name": config.report.name or config.strategy.name,
        "strategy": config.strategy.name,
        **spec.every_turn[0].parameters(),
        "symbols": list(main.engine.symbols),
        "timeframe": spec.timeframe,
        "base_timeframe": spec.base_timeframe,
        "start": _iso(main.feed.first_ms),
        "end": _iso(main.feed.last_ms + main.engine.base_ms),
        "candles": main.recorder.candles,
        "capital": capital,
        "quote": config.account.quote,
        "digest": main.engine.digest,
        "tapes": [_tape(*pair) for pair in zip(tapes, qualities, strict=True)],
        "config": config.recorded(),
        "markets": {m.symbol: m.plain() for m in spec.markets},
        "conventions": [*_FILL_CONVENTIONS, *CONVENTIONS, *unit_said, *fee_said],
        "metrics": performance.metrics,
        "undefined": performance.undefined,
        "notes": [
            *performance.notes,
            *left_out(main.recorder.events, main.engine.symbols, main.engine.length_ms),
        ],
        "refusals": refusal_counts(main.recorder.decisions, main.recorder.unheeded),
        "fills_without_volume": n_untraded,
        **main.recorder.conditions.section(),
        **main.recorder.notes.section(),
        "breakdown": tables,
        "benchmarks": benchmarks,
        "sensitivity": _sensitivity(performance, others),
        "monthly": [list(row) for row in monthly_returns(marks, capital)],
        "warnings": _warnings(config, tapes, qualities, main, learned, n_untraded, recorded),
        "model": model,
        "timings": _timings(main, learned),
    }
    if len(main.recorder.orders):
        summary["orders"] = order_counts(main.recorder.orders)
    summary |= {**limits_section(main.recorder.limits), **_portfolio(main)}
    summary |= recorded.sections()
    if changed := told(main.recorder.changes, main.engine.symbols):
        summary["market_changes"] = [change._asdict() for change in changed]
    summary["doubts"] = doubts(summary)
    labels = [REGIME_NAMES[int(code)] for code in regime_codes] if config.report.regimes else []
    return summary, labels or [""] * len(trades)


class _Measurements(NamedTuple):
    """What is made of a run's trades and marks."""

    performance: Performance
    others: dict[str, Performance]  # the runs with one thing changed
    benchmarks: dict[str, Any]
    regime_codes: IntArray


def _measurements(config: Config, main: Run, bars: Mapping[str, Rows]) -> _Measurements:
    """
    Return all that is measured, two at a time: none looks at another, and long arrays need no interpreter.

    The accounts that ran beside are measured first and let go: of a million candles each takes 8 MB.
    """
    closes = main.feed.closes()
    names = list(main.others)

    def beside(name: str) -> Performance:
        return measured(config, main.others.pop(name))

    with ThreadPoolExecutor(2) as pool:
        others = dict(zip(names, pool.map(beside, names), strict=True))
        codes = pool.submit(_regime_codes, config, main, bars)
        performance = pool.submit(performance_of, config, main, closes)
        benchmarks = pool.submit(_benchmarks, config, main, closes)
        return _Measurements(performance.result(), others, benchmarks.result(), codes.result())


def performance_of(config: Config, run: Run, closes: FloatArray | None = None) -> Performance:
    """Return the metrics of a run beside buy-and-hold; closes: those of its feed, when they are at hand."""
    could = _of_traded(run, run.feed.closes() if closes is None else closes)
    return measured(config, Outcome(run.trades, run.marks), could, _entry_cost_rate(run))


def _lineage(run: Run) -> list[dict[str, Any]]:
    """Return the record of every model that took over, in order, and when it did."""
    lineage = []
    taken = [pair for pair in zip(run.recorder.swaps, run.models, strict=True) if pair[1][1]]
    for swap, (effective_ms, data) in taken:
        values = {**read_artefact(data).record.to_json(), "version": int(swap["version"])}
        lineage.append({"time": _iso(effective_ms), "effective_ms": effective_ms, **values})
    return lineage


def measured(
    config: Config, outcome: Outcome, closes: FloatArray | None = None, entry_cost_rate: float = 0.0
) -> Performance:
    """Return the metrics of an account; closes and the cost of one purchase, to compare it with buy-and-hold."""
    return measure(
        *outcome,
        config.account.capital,
        closes,
        config.report.risk_free_rate,
        entry_cost_rate=entry_cost_rate,
    )


def _of_traded(run: Run, closes: FloatArray) -> FloatArray:
    """Return the closes of what could be bought."""
    traded = run.engine.traded
    return closes if len(traded) == closes.shape[1] else closes[:, list(traded)]


def _entry_cost_rate(run: Run) -> float:
    """Return what one purchase costs, as a fraction of its notional, the mean over the markets."""
    markets = [market for market in run.engine.spec.markets if not market.read_only]
    return mean_of(np.array([market.entry_cost_rate for market in markets]))


def _timings(run: Run, learned: Learned | None) -> dict[str, float]:
    rate = run.recorder.candles / run.wall_s if run.wall_s > 0.0 else 0.0
    return {
        "kernels_s": run.kernels_s,
        "learning_s": learned.wall_s if learned is not None else 0.0,
        "replay_s": run.wall_s,
        "candles_per_s": rate,
    }


def _iso(time_ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    return moment.isoformat().replace("+00:00", "Z")


def _tape(tape: Tape, quality: Brief) -> dict[str, Any]:
    """Return what a reader must know of a tape."""
    return {
        "symbol": tape.symbol,
        "venue": tape.venue,
        "timeframe": tape.timeframe,
        "source": tape.source,
        "sha256": tape.sha256,
        "rows": len(tape.candles),
        "first": _iso(int(tape.candles["open_ms"][0])),
        "last": _iso(int(tape.candles["open_ms"][-1])),
        "flags": dict(quality.flags),
        "gaps": quality.gaps,
        "missing": quality.missing,
        "zero_volume": quality.zero_volume,
        "extreme_moves": quality.extreme_moves,
        "is_synthetic": FLAG_NAMES[FLAG_SYNTHETIC] in quality.flags,
    }


def _regime_codes(config: Config, run: Run, bars: Mapping[str, Rows]) -> IntArray:
    """Return the regime in which each trade was decided, on its own symbol and the strategy's timeframe."""
    trades, engine = run.trades, run.engine
    codes = np.zeros(len(trades), np.int64)
    for index, symbol in enumerate(engine.symbols if config.report.regimes else ()):
        chosen = trades["symbol"] == index
        rows = bars[symbol]
        if chosen.any():
            codes[chosen] = regimes_when(
                rows["open_ms"],
                rows["high"],
                rows["low"],
                rows["close"],
                engine.length_ms,
                trades["decided_ms"][chosen],
            )
    return codes


def _portfolio(run: Run) -> dict[str, Any]:
    """Return what is measured of several symbols together; nothing of one."""
    engine, opens = run.engine, [tape["open_ms"][[0, -1]] for tape in run.feed.tapes]
    if len(engine.traded) == 1:
        return {}
    spans = [(int(first), int(last) + engine.base_ms) for first, last in opens]
    marks, rows = run.marks, (run.recorder.fills, run.trades)
    found = portfolio(
        marks["time_ms"], marks["equity"], run.feed.closes(), spans, *rows, engine.symbols, units_of(marks)
    )
    if engine.spec.allocation.is_any:
        for row, allotted in zip(found["symbols"], allotments(engine.positions), strict=True):
            row |= allotted
    return {"portfolio": found}


def _benchmarks(config: Config, run: Run, closes: FloatArray) -> dict[str, Any]:
    """Return those of buy-and-hold, always-flat and random entries that are asked for, each with what can be said of it."""
    marks, capital, draws = run.marks, config.account.capital, config.report.random_draws
    found: dict[str, Any] = {}
    if config.report.benchmarks:
        found = _simple_benchmarks(config, run, marks, closes)
    drawn = random_entry(run.trades, marks, closes, capital, draws=draws) if draws else None
    if drawn is not None:
        found["random_entry"] = drawn._asdict()
    return found


def _simple_benchmarks(config: Config, run: Run, marks: Marks, closes: FloatArray) -> dict[str, Any]:
    """Return buy-and-hold and always-flat."""
    capital, rf = config.account.capital, config.report.risk_free_rate
    could = _of_traded(run, closes)
    held = buy_and_hold(marks, could, capital, entry_cost_rate=_entry_cost_rate(run), rf=rf)
    flat = always_flat(marks, capital)
    return {
        "buy_and_hold": {name: held.metrics[name] for name in _BENCHMARK_METRICS},
        "always_flat": {name: flat.metrics[name] for name in _BENCHMARK_METRICS},
    }


def _sensitivity(main: Performance, others: Mapping[str, Performance]) -> list[dict[str, Any]]:
    """Return the run as configured beside those with one thing changed."""
    if not others:
        return []
    names = ("total_return", "sharpe", "max_drawdown", "trades")
    return [
        {"name": name, **{metric: found.metrics[metric] for metric in names}}
        for name, found in {"as configured": main, **others}.items()
    ]


def _warnings(
    config: Config,
    tapes: Sequence[Tape],
    qualities: Sequence[Brief],
    run: Run,
    learned: Learned | None,
    n_untraded: int,
    recorded: RecordedSeries,
) -> list[str]:
    """
    Return what a reader must know before anything else.

    n_untraded  fills in candles without volume
    """
    said = synthetic_sentences(qualities)
    ruined_ms = int(run.engine.account[0].ruined_ms)
    if ruined_ms:
        marks = run.marks
        left = int(marks["equity"][marks["time_ms"] == ruined_ms][0]) / units_of(marks)
        places = shown_decimals(config.account.decimals, config.account.quote)
        said.append(
            f"RUINED at {_iso(ruined_ms)}: equity was {left:,.{places}f} {config.account.quote}. Every position was closed "
            "at the next open, and nothing was opened after that. A venue would have liquidated earlier."
        )
    said += liquidation_sentences(run.trades, run.engine.spec, recorded)
    said += flag_sentences(tapes, qualities)
    if absent := run.feed.n_absent:
        said.append(
            f"{absent:,} of {run.recorder.candles:,} candles were not recorded and stand as absent: "
            f"flat, flag {FLAG_ABSENT}, no fills."
        )
    said += span_sentences(config.data, tapes, run.feed)
    said += sentence(n_untraded, len(run.recorder.fills))
    markets, is_paid = run.engine.spec.markets, len(run.recorder.payments) > 0
    said += series_sentences(tapes, markets, recorded, is_paid=is_paid)
    said += newest_sentences(learned)
    if learned is None:
        said += given_sentences(run.models, is_asked=asks_model(run.engine.spec))
    is_asked_for = config.strategy.name == "confluence" and config.signals.use_ml
    if is_asked_for and not len(run.recorder.swaps):
        said.append(f"No model took part: {why_none(learned)}the other components' scores decide.")
    lost = [a for a in learned.attempts if a.outcome in ("failed", "timeout")] if learned else []
    if lost:
        said.append(
            f"{len(lost)} of {len(learned.attempts if learned else ())} retrainings came to nothing; the first: "
            f"{lost[0].reason}."
        )
    return said
