"""From a finished run to the content of result.json: metrics, tables, benchmarks, lineage, doubts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
import pandas as pd

from papertape.engine.candles import FLAG_ABSENT, FLAG_NAMES, FLAG_SYNTHETIC
from papertape.engine.core import Engine
from papertape.engine.jit import FloatArray, Rows
from papertape.engine.model import read_artefact
from papertape.engine.performance import (
    CONVENTIONS,
    REGIME_NAMES,
    Performance,
    always_flat,
    buy_and_hold,
    by_component,
    by_confidence,
    by_exit_reason,
    by_regime,
    by_side,
    by_symbol,
    measure,
    monthly_returns,
    random_entry,
    regimes,
    regimes_at,
)
from papertape.replay.config import Config
from papertape.replay.feed import ReplayFeed
from papertape.replay.learning.attempt import Learned
from papertape.replay.model_section import model_section
from papertape.replay.quality import counted
from papertape.replay.quality import measure as measure_quality
from papertape.replay.sinks import Recorder
from papertape.replay.spans import span_sentences
from papertape.replay.tables import refusal_counts
from papertape.replay.tape import Tape

FORMAT: Final = 1
_BENCHMARK_METRICS: Final = ("total_return", "cagr", "sharpe", "sortino", "max_drawdown", "calmar")
_FILL_CONVENTIONS: Final = (
    "A decision at the close of a candle fills at the open of the next base candle, half spread and slippage against us.",
    "Several symbols in one instant: every close at the open, then every entry, sized on one book and scaled down pro rata where buying power does not suffice for all, then brackets, then marks.",
    "Stop and target inside one candle: the stop; what the target would have made is kept as the optimistic bound.",
    "A gap through a stop fills at the open; a target fills at its price without slippage and pays the taker fee.",
    "Nothing fills in an absent candle, and a strategy candle that is absent as a whole decides nothing.",
    "A trade that is open at the end is marked at the last close; its exit costs are not included.",
)


@dataclass(slots=True)
class Run:
    """One engine after one feed: what it reported, its trades with the open ones marked, and how long it took (kernels
    are compiled or loaded before the clock of the replay starts)."""

    engine: Engine
    recorder: Recorder
    trades: Rows
    feed: ReplayFeed
    models: Sequence[tuple[int, bytes]]
    wall_s: float
    kernels_s: float


def summarise(
    config: Config,
    tapes: Sequence[Tape],
    bars: Mapping[str, Rows],
    main: Run,
    others: Mapping[str, Run],
    learned: Learned | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Return the content of result.json, and the regime in which each trade was decided."""
    capital = config.account.capital
    trades, marks = main.trades, main.recorder.marks
    closes = main.feed.closes()
    performance = _measured(config, main, closes)
    regime_codes = _regime_codes(trades, main.engine, bars)
    spec = main.engine.spec
    summary: dict[str, Any] = {
        "format": FORMAT,
        "papertape": version("papertape"),
        "name": config.report.name or config.strategy.name,
        "strategy": config.strategy.name,
        "symbols": list(main.engine.symbols),
        "timeframe": spec.timeframe,
        "base_timeframe": spec.base_timeframe,
        "start": _iso(main.feed.first_ms),
        "end": _iso(main.feed.last_ms + main.engine.base_ms),
        "candles": main.recorder.candles,
        "capital": capital,
        "quote": config.account.quote,
        "digest": main.engine.digest,
        "tapes": [_tape(tape) for tape in tapes],
        "config": config.model_dump(mode="json"),
        "markets": {market.symbol: _plain(market) for market in spec.markets},
        "conventions": [*_FILL_CONVENTIONS, *CONVENTIONS],
        "metrics": performance.metrics,
        "undefined": performance.undefined,
        "notes": performance.notes,
        "refusals": refusal_counts(main.recorder.decisions),
        "breakdown": _breakdown(trades, main.engine.symbols, regime_codes),
        "benchmarks": _benchmarks(config, main, closes),
        "sensitivity": _sensitivity(config, performance, others),
        "monthly": [list(row) for row in monthly_returns(marks, capital)],
        "warnings": _warnings(config, tapes, main, learned),
        "model": model_section(_lineage(main), learned, main.recorder.predictions, bars, trades),
        "timings": _timings(main, learned),
    }
    summary["doubts"] = doubts(summary)
    return summary, [REGIME_NAMES[int(code)] for code in regime_codes]


def doubts(summary: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of a result, as terminal and report say it: warnings, notes, refusals, no trade."""
    said = [*summary["warnings"], *summary["notes"]]
    refused = summary["refusals"].items()
    said += [f"{counted(count, 'decision')} refused: {reason}" for reason, count in refused]
    if not summary["metrics"]["trades"]:
        why = "every entry was refused" if summary["refusals"] else "no entry was ever decided"
        said.append(f"No trade was made: {why}.")
    return said


def _lineage(run: Run) -> list[dict[str, Any]]:
    """Return the record of every model that took over, in order, and when it did."""
    lineage = []
    for swap, (effective_ms, data) in zip(run.recorder.swaps, run.models, strict=True):
        record = read_artefact(data).record
        values = {**record.to_json(), "version": int(swap["version"])}
        lineage.append({"time": _iso(effective_ms), "effective_ms": effective_ms, **values})
    return lineage


def _measured(config: Config, run: Run, closes: FloatArray | None) -> Performance:
    return measure(
        run.trades,
        run.recorder.marks,
        config.account.capital,
        closes,
        config.report.risk_free_rate,
        entry_cost_rate=_entry_cost_rate(run),
    )


def _entry_cost_rate(run: Run) -> float:
    """Return what one purchase costs, as a fraction of its notional, the mean over the markets."""
    markets = run.engine.spec.markets
    return float(
        np.mean([m.taker_fee_rate + m.half_spread_rate + m.slippage_rate for m in markets])
    )


def _timings(run: Run, learned: Learned | None) -> dict[str, float]:
    rate = run.recorder.candles / run.wall_s if run.wall_s > 0.0 else 0.0
    return {
        "kernels_s": run.kernels_s,
        "learning_s": learned.wall_s if learned is not None else 0.0,
        "replay_s": run.wall_s,
        "candles_per_s": rate,
    }


def _iso(time_ms: int) -> str:
    return pd.Timestamp(time_ms, unit="ms").isoformat() + "Z"


def _plain(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__slots__}


def _tape(tape: Tape) -> dict[str, Any]:
    """Return what a reader must know of a tape."""
    quality = measure_quality(tape.candles, tape.timeframe)
    return {
        "symbol": tape.symbol,
        "venue": tape.venue,
        "timeframe": tape.timeframe,
        "source": tape.source,
        "sha256": tape.sha256,
        "rows": len(tape.candles),
        "first": _iso(int(tape.candles["open_ms"][0])),
        "last": _iso(int(tape.candles["open_ms"][-1])),
        "flags": flag_counts(tape.candles),
        "gaps": quality.gaps,
        "missing": quality.missing,
        "zero_volume": quality.zero_volume,
        "extreme_moves": quality.extreme_moves,
        "is_synthetic": bool((tape.candles["flag_bits"] & FLAG_SYNTHETIC).any()),
    }


def flag_counts(candles: Rows) -> dict[str, int]:
    """Return how many candles carry each flag; flags that none carries are left out."""
    bits = candles["flag_bits"]
    counts = {name: int(np.count_nonzero(bits & flag)) for flag, name in FLAG_NAMES.items()}
    return {name: n for name, n in counts.items() if n}


def _regime_codes(trades: Rows, engine: Engine, bars: Mapping[str, Rows]) -> Any:
    """Return the regime in which each trade was decided, on its own symbol and the strategy's timeframe."""
    codes = np.zeros(len(trades), np.int64)
    for index, symbol in enumerate(engine.symbols):
        chosen = trades["symbol"] == index
        rows = bars[symbol]
        labels = regimes(rows["open_ms"], rows["high"], rows["low"], rows["close"])
        closes_ms = rows["open_ms"] + engine.length_ms
        codes[chosen] = regimes_at(closes_ms, labels, trades["decided_ms"][chosen])
    return codes


def _breakdown(trades: Rows, symbols: Sequence[str], regime_codes: Any) -> dict[str, Any]:
    return {
        "component": by_component(trades),
        "confidence": by_confidence(trades),
        "side": by_side(trades),
        "exit_reason": by_exit_reason(trades),
        "symbol": by_symbol(trades, symbols),
        "regime": by_regime(trades, regime_codes),
    }


def _benchmarks(config: Config, run: Run, closes: FloatArray) -> dict[str, Any]:
    """Return buy-and-hold, always-flat and random entries, each with what can be said of it."""
    marks, capital = run.recorder.marks, config.account.capital
    rf = config.report.risk_free_rate
    held = buy_and_hold(marks, closes, capital, entry_cost_rate=_entry_cost_rate(run), rf=rf)
    flat = always_flat(marks, capital)
    drawn = random_entry(run.trades, marks, closes, capital)
    found: dict[str, Any] = {
        "buy_and_hold": {name: held.metrics[name] for name in _BENCHMARK_METRICS},
        "always_flat": {name: flat.metrics[name] for name in _BENCHMARK_METRICS},
    }
    if drawn is not None:
        found["random_entry"] = drawn._asdict()
    return found


def _sensitivity(
    config: Config, main: Performance, others: Mapping[str, Run]
) -> list[dict[str, Any]]:
    """Return the run as configured beside those with one thing changed."""
    if not others:
        return []
    measured = {"as configured": main}
    measured |= {name: _measured(config, run, None) for name, run in others.items()}
    names = ("total_return", "sharpe", "max_drawdown", "trades")
    return [
        {"name": name, **{metric: found.metrics[metric] for metric in names}}
        for name, found in measured.items()
    ]


def _warnings(
    config: Config, tapes: Sequence[Tape], run: Run, learned: Learned | None
) -> list[str]:
    """Return what a reader must know before anything else."""
    said: list[str] = []
    if any((tape.candles["flag_bits"] & FLAG_SYNTHETIC).any() for tape in tapes):
        said.append("SYNTHETIC DATA: some or all of these candles were never traded anywhere.")
    for tape in tapes:
        counts = ", ".join(f"{n:,} {name}" for name, n in flag_counts(tape.candles).items())
        if counts:
            said.append(f"{tape.symbol}: flagged candles: {counts}.")
    absent = run.feed.n_absent
    if absent:
        said.append(
            f"{absent:,} of {run.recorder.candles:,} candles were not recorded and stand as absent: "
            f"flat, flag {FLAG_ABSENT}, no fills."
        )
    said += span_sentences(config.data, tapes, run.feed)
    is_perpetual = any(market.is_perpetual for market in run.engine.spec.markets)
    if is_perpetual and not len(run.recorder.payments):
        said.append(
            "No funding is included: positions on perpetuals neither paid nor received any."
        )
    is_asked_for = config.strategy.name == "confluence" and config.signals.use_ml
    if is_asked_for and not len(run.recorder.swaps):
        said.append(f"No model took part: {_why_none(learned)}the other components' scores decide.")
    lost = [a for a in learned.attempts if a.outcome in ("failed", "timeout")] if learned else []
    if lost:
        said.append(
            f"{len(lost)} of {len(learned.attempts if learned else ())} retrainings came to nothing; the first: "
            f"{lost[0].reason}."
        )
    return said


def _why_none(learned: Learned | None) -> str:
    """Return why no model took over, as the beginning of a sentence."""
    if learned is None:
        return ""
    trained = sum(bool(attempt.record) for attempt in learned.attempts)
    if trained:
        return f"of {trained} that were trained none passed the gate; "
    failed = sum(attempt.outcome != "skipped" for attempt in learned.attempts)
    if failed:  # why is told of the first of them
        return f"none of {failed} retrainings brought a model; "
    if learned.attempts:
        return f"there were too few candles to learn from ({learned.attempts[-1].reason}); "
    return "no retraining was due; "
