"""
Proof by experiment that nothing looks ahead and nothing is rewritten.

The subject runs over a tape; then, at many cuts, over the tape cut off there, and over the tape whose candles after
the cut are replaced by other ones; and over the tape on which the first candle after the cut has opened where it did
and all else is replaced. Whatever it said before the cut, and of a strategy what filled at that open too, must be the
same, bit for bit. A difference is look-ahead if the future was scrambled, and a repaint if candles were only added:
both are reported with the first candle and field that differ.

What it cannot see: a subject that reads the future from somewhere else than the candles that it is given.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.features import evaluate, plan_features
from papertape.engine.jit import Rows, copy_rows
from papertape.engine.records import (
    REASON_COMMAND,
    REASON_ENTRY,
    REASON_FLIP,
    REASON_RUIN,
    REASON_SIGNAL,
)
from papertape.engine.spec import EngineSpec
from papertape.engine.strategies import load_object
from papertape.replay.tables import candle_frame

_AT_OPEN: Final = (REASON_ENTRY, REASON_SIGNAL, REASON_FLIP, REASON_COMMAND, REASON_RUIN)
_OPENING_MS: Final = 1  # a candle opens after the one before has closed, at the same stamp

Said = Mapping[str, tuple[Any, Any]]  # name -> (times of the statements in ms, ascending; values)
Subject = Callable[[Rows], Said]


class Leak(NamedTuple):
    """The first statement that the future changed."""

    kind: str  # "repaint" or "look-ahead"
    cut: int  # candles known
    name: str
    time_ms: int
    known_then: str
    said_later: str

    def __str__(self) -> str:
        stamp = pd.Timestamp(self.time_ms, unit="ms").isoformat()
        return (
            f"{self.kind}: {self.name} at {stamp}Z is {self.said_later} with the future known and "
            f"{self.known_then} after {self.cut} candles"
        )


class Proof(NamedTuple):
    """What was tried and what was found."""

    subject: str
    candles: int
    cuts: tuple[int, ...]
    compared: int
    leak: Leak | None


def prove(
    name: str,
    subject: Subject,
    candles: Rows,
    n_cuts: int = 40,
    seed: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """
    Return the proof, or the first leak, for a subject over these candles.

    subject  a function of candles that returns what was said, by name, each with the close time at which it was said
    n_cuts   how many places are tried, spread over the tape with a seeded jitter
    """
    if len(candles) < 50:
        raise DataError(f"prove: {len(candles)} candles are fewer than the 50 that it needs")
    random = np.random.default_rng(seed)
    step_ms = int(np.min(np.diff(candles["open_ms"])))
    whole = subject(candles)
    cuts = _cuts(len(candles), n_cuts, random)
    compared = 0
    for number, cut in enumerate(cuts):
        known_ms = int(candles["open_ms"][cut - 1]) + step_ms
        cut_off = subject(copy_rows(candles[:cut]))
        scrambled = subject(scramble(candles, cut, random))
        opened = subject(scramble(candles, cut, random, keeps_open=True))
        open_ms = int(candles["open_ms"][cut]) + _OPENING_MS
        for kind, at_ms, then, later in (
            ("repaint", known_ms, cut_off, whole),
            ("look-ahead", known_ms, cut_off, scrambled),
            ("look-ahead inside a candle", open_ms, opened, whole),
        ):
            count, leak = _compare(kind, cut, at_ms, then, later)
            compared += count
            if leak is not None:
                return Proof(name, len(candles), cuts, compared, leak)
        if on_progress is not None:
            on_progress(number + 1, len(cuts))
    return Proof(name, len(candles), cuts, compared, None)


def _cuts(n: int, n_cuts: int, random: np.random.Generator) -> tuple[int, ...]:
    """Return cut positions: the whole length covered, the last candles included, none regular."""
    even = np.linspace(n // 10 + 1, n - 1, n_cuts).astype(np.int64)
    jitter = random.integers(-(n // (4 * n_cuts)) - 1, n // (4 * n_cuts) + 1, n_cuts)
    return tuple(sorted({int(cut) for cut in np.clip(even + jitter, 2, n - 1)} | {n - 1, n - 2}))


def scramble(
    candles: Rows, cut: int, random: np.random.Generator, *, keeps_open: bool = False
) -> Rows:
    """Return the candles with everything from `cut` on, or after its open, replaced by a wild seeded walk."""
    changed = copy_rows(candles)
    n = len(candles) - cut
    close = float(candles["close"][cut - 1]) * np.exp(np.cumsum(random.normal(0.0, 0.05, n)))
    before = np.concatenate([candles["close"][cut - 1 : cut], close[:-1]])
    if keeps_open:
        before[0] = candles["open"][cut]
    spread = np.exp(np.abs(random.normal(0.0, 0.02, n)))
    changed["open"][cut:] = before
    changed["close"][cut:] = close
    changed["high"][cut:] = np.maximum(before, close) * spread
    changed["low"][cut:] = np.minimum(before, close) / spread
    changed["volume"][cut:] = candles["volume"][:cut].mean() * np.exp(random.normal(0.0, 2.0, n))
    changed["flag_bits"][cut:] |= FLAG_SYNTHETIC
    return changed


def _compare(
    kind: str, cut: int, known_ms: int, then: Said, later: Said
) -> tuple[int, Leak | None]:
    """Return how many statements up to the cut were compared, and the first that differs."""
    compared = 0
    for name in sorted(set(then) | set(later)):
        for side in (then, later):
            if name not in side:
                return compared, Leak(kind, cut, name, known_ms, "missing", "missing")
        (times, values), (later_times, later_values) = then[name], later[name]
        a = np.searchsorted(times, known_ms, "right")
        b = np.searchsorted(later_times, known_ms, "right")
        n = min(a, b)
        compared += int(max(a, b))
        same = _same(values[:n], later_values[:n]) & (times[:n] == later_times[:n])
        if not same.all():
            first = int(np.argmin(same))
            said = (str(values[first]), str(later_values[first]))
            return compared, Leak(kind, cut, name, int(times[first]), *said)
        if a != b:
            source, other = (times, "not said") if a > b else (later_times, "said")
            now = "said" if a > b else "not said"
            return compared, Leak(kind, cut, name, int(source[n]), now, other)
    return compared, None


def _same(a: Any, b: Any) -> Any:
    """Return where two arrays hold the same bits, NaN equal to NaN."""
    a, b = np.ascontiguousarray(a), np.ascontiguousarray(b)
    if a.dtype == np.float64 and b.dtype == np.float64:
        return (a.view(np.int64) == b.view(np.int64)) | (np.isnan(a) & np.isnan(b)) | (a == b)
    return a == b


def feature_subject(request: str, step_ms: int) -> Subject:
    """
    Return the subject of a built-in feature (`ema_12`) or of a function `module:name`.

    The function gets a DataFrame of open, high, low, close, volume indexed by open time and returns a value per
    candle: a Series, a DataFrame, or an array of shape (n,) or (n, k).
    """
    if ":" in request and not request.endswith(":first"):
        return function_subject(load_object(request), request, step_ms)
    plan = plan_features((request,), step_ms)

    def subject(candles: Rows) -> Said:
        out = evaluate(request, candles, step_ms)
        closes = candles["open_ms"] + step_ms
        return {name: (closes, out[row]) for row, name in enumerate(plan.columns)}

    return subject


def function_subject(function: Callable[[pd.DataFrame], Any], name: str, step_ms: int) -> Subject:
    """Return the subject of a user's function of a table of candles."""
    return lambda candles: _from_function(function, name, candles, step_ms)


def _from_function(
    function: Callable[[pd.DataFrame], Any], name: str, candles: Rows, step_ms: int
) -> Said:
    """Call a user's function and return its columns."""
    values = function(candle_frame(candles))
    closes = candles["open_ms"] + step_ms
    if isinstance(values, pd.DataFrame):
        columns = {f"{name}.{column}": values[column].to_numpy() for column in values.columns}
    else:
        array = np.asarray(values)
        if array.ndim == 1:
            columns = {name: array}
        else:
            columns = {f"{name}.{i}": array[:, i] for i in range(array.shape[1])}
    for column, array in columns.items():
        if len(array) != len(candles):
            raise ConfigError(
                f"{column}: returned {len(array)} values for {len(candles)} candles; one per candle "
                "is needed"
            )
    return {column: (closes, array.astype(np.float64)) for column, array in columns.items()}


def strategy_subject(make_spec: Callable[[], EngineSpec]) -> Subject:
    """Return the subject of a strategy: every decision, fill and mark of a run over the candles."""
    from papertape.replay.backtest import replay

    def subject(candles: Rows) -> Said:
        run = replay(make_spec(), [candles], "skip")
        return statements(run.recorder, run.engine.base_ms)

    return subject


def statements(records: Any, base_ms: int) -> Said:
    """Return every field of the decisions, fills and marks of a run, each where it was known."""
    decisions, fills, marks = records.decisions, records.fills, records.marks
    said = _columns("decision", decisions, decisions["time_ms"])
    # What an order fills at an open is known there; what a bracket fills, when the candle has closed.
    at_open = np.isin(fills["reason"], _AT_OPEN)
    known_ms = fills["candle_ms"] + np.where(at_open, _OPENING_MS, base_ms)
    said |= _columns("fill at an open", fills[at_open], known_ms[at_open])
    said |= _columns("fill of a bracket", fills[~at_open], known_ms[~at_open])
    said |= _columns("mark", marks, marks["time_ms"])
    return said


def _columns(kind: str, records: Rows, times: Any) -> dict[str, tuple[Any, Any]]:
    """Return every field of some records as statements."""
    names: Sequence[str] = records.dtype.names or ()
    return {f"{kind}.{name}": (times, np.ascontiguousarray(records[name])) for name in names}
