"""
Proof by experiment that nothing looks ahead and nothing is rewritten.

The subject runs over the tape cut off at many places; over the tape whose candles after the cut are replaced by other ones;
over the tape on which the first candle after the cut has opened where it did and all else is replaced; and over the whole.
Whatever it said before the cut, and of a strategy what filled at that open too, must be the same, bit for bit. A
difference is look-ahead if the future was scrambled, and a repaint if candles were only added: both are reported with the
first candle and field that differ.

A user's code runs in a process of its own each time (`papertape.replay.runtime.isolated`), so that what it keeps of one tape is gone
before the next. Beside the cuts that are scrambled, a feature is cut behind every candle as far as the time allows, the
most telling first, and a strategy is given one candle at a time. What it reads beside its candles no cut reaches; so
that is noticed, and the proof then says that there is none.
"""

import contextlib
import importlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, copy_rows
from papertape.engine.records import (
    REASON_COMMAND,
    REASON_ENTRY,
    REASON_FLIP,
    REASON_RUIN,
    REASON_SIGNAL,
)
from papertape.engine.spec import EngineSpec, Market
from papertape.replay.research.cuts import even_cuts, telling_cuts
from papertape.replay.runtime.isolated import ForkResult, run_apart
from papertape.replay.runtime.warm import Silent

_AT_OPEN: Final = (REASON_ENTRY, REASON_SIGNAL, REASON_FLIP, REASON_COMMAND, REASON_RUIN)
LIMITS: Final = (
    "not seen: what is opened outside Python's own sight, what a library keeps in machine code, and data that is written in "
    "the code itself"
)
_EVERYWHERE_S: Final = 10.0
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
    """
    What was tried and what was found.

    cuts    behind which the future was scrambled; cut_off: how many candles have had none behind them
    reads   what it read beside its candles: no cut reaches that, and nothing is proven then
    """

    subject: str
    candles: int
    cuts: tuple[int, ...]
    compared: int
    leak: Leak | None
    cut_off: int = 0
    reads: tuple[str, ...] = ()

    @property
    def is_proven(self) -> bool:
        """Return whether nothing was found, and nothing could have hidden it that was noticed."""
        return self.leak is None and not self.reads


class Foreign(NamedTuple):
    """
    A subject of a user's code.

    run     the subject; what it needs is imported when it is called
    is_fed  whether the second argument, how many candles at a time, is heard: then no tape need be cut to try each candle
    warm    loads what is ours and would be loaded anew in every process
    """

    run: Callable[..., Said]
    is_fed: bool = False
    warm: Callable[[Rows], None] | None = None

    def __call__(self, candles: Rows) -> Said:
        return self.run(candles)


def prove(
    name: str,
    subject: Subject | Foreign,
    candles: Rows,
    n_cuts: int = 40,
    seed: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """
    Return the proof, or the first leak, for a subject over these candles.

    subject  a function of candles that returns what was said, by name, each with the close time at which it was said
    n_cuts   how many places are tried, spread over the tape with a seeded jitter; of a user's code as many more, where
             something happened
    """
    if len(candles) < 50:
        raise DataError(f"prove: {len(candles)} candles are fewer than the 50 that it needs")
    random = np.random.default_rng(seed)
    trial = _Trial(subject, candles)
    cuts = even_cuts(len(candles), n_cuts, random)
    whole = trial.run(candles)
    compared, cut_off = 0, 0
    leak: Leak | None = None
    if isinstance(subject, Foreign):
        telling = telling_cuts(candles, whole, trial.step_ms, random)
        cuts = sorted({*cuts, *telling[:n_cuts]})
        compared, cut_off, leak = trial.cut_everywhere(telling, whole)
    for number, cut in enumerate(cuts if leak is None else ()):
        cut_off_said = trial.run(candles[:cut])
        scrambled = trial.run(scramble(candles, cut, random))
        opened = trial.run(scramble(candles, cut, random, keeps_open=True))
        known_ms = int(candles["open_ms"][cut - 1]) + trial.step_ms
        open_ms = int(candles["open_ms"][cut]) + _OPENING_MS
        for kind, at_ms, then, later in (
            ("repaint", known_ms, cut_off_said, whole),
            ("look-ahead", known_ms, cut_off_said, scrambled),
            ("look-ahead inside a candle", open_ms, opened, whole),
        ):
            count, leak = _compare(kind, cut, at_ms, then, later)
            compared += count
            if leak is not None:
                break
        if leak is not None:
            break
        if on_progress is not None:
            on_progress(number + 1, len(cuts))
    return Proof(name, len(candles), tuple(cuts), compared, leak, cut_off, trial.reads)


class _Trial:
    """Runs a subject over candles: ours here, a user's each time in a process of its own."""

    def __init__(self, subject: Subject | Foreign, candles: Rows) -> None:
        self._subject, self._candles = subject, candles
        self.step_ms = int(np.min(np.diff(candles["open_ms"])))
        self._reads: dict[str, None] = {}
        if isinstance(subject, Foreign) and subject.warm is not None:
            subject.warm(candles)

    @property
    def reads(self) -> tuple[str, ...]:
        """Return what a user's code read beside its candles."""
        return tuple(self._reads)

    def run(self, candles: Rows, batch: int = 0) -> Said:
        """Return what the subject says of candles, `batch` at a time if it is fed; 0: all at once."""
        rows = copy_rows(candles)
        if not isinstance(self._subject, Foreign):
            return self._subject(rows)
        run = self._subject.run

        def work() -> tuple[dict[str, Any], dict[str, Any]]:
            said = run(rows, batch) if batch else run(rows)
            arrays = {
                f"{part} {name}": pair[part] for name, pair in said.items() for part in (0, 1)
            }
            return {"names": list(said)}, arrays

        answer = run_apart(work)
        self._note(answer)
        names = answer.values["names"]
        return {name: (answer.arrays[f"0 {name}"], answer.arrays[f"1 {name}"]) for name in names}

    def _note(self, answer: ForkResult) -> None:
        """Keep what was read, and load libraries here that the next process would load again."""
        self._reads |= dict.fromkeys(answer.reads)
        for name in answer.libraries:
            with contextlib.suppress(
                Exception
            ):  # a library that cannot be loaded again: the next one tries
                importlib.import_module(name)

    def cut_everywhere(self, cuts: list[int], whole: Said) -> tuple[int, int, Leak | None]:
        """Return how many statements were compared, behind how many candles the tape ended, and the first leak."""
        subject, candles, step_ms = self._subject, self._candles, self.step_ms
        assert isinstance(subject, Foreign)
        if subject.is_fed:
            end_ms = int(candles["open_ms"][-1]) + step_ms
            one_by_one = self.run(candles, batch=1)
            count, leak = _compare("repaint", len(candles), end_ms, one_by_one, whole)
            return count, len(candles), leak

        def work() -> tuple[dict[str, Any], dict[str, Any]]:
            compared, until_s = 0, time.monotonic() + _EVERYWHERE_S
            for tried, cut in enumerate(cuts):
                known_ms = int(candles["open_ms"][cut - 1]) + step_ms
                then = subject.run(copy_rows(candles[:cut]))
                count, leak = _compare("repaint", cut, known_ms, then, whole)
                compared += count
                if leak is not None or time.monotonic() > until_s:
                    return {"compared": compared, "tried": tried + 1, "leak": leak}, {}
            return {"compared": compared, "tried": len(cuts), "leak": None}, {}

        answer = run_apart(work)
        self._note(answer)
        told = answer.values["leak"]
        return answer.values["compared"], answer.values["tried"], Leak(*told) if told else None


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


def strategy_subject(
    make_spec: Callable[[], EngineSpec], *, is_ours: bool = False
) -> Subject | Foreign:
    """
    Return the subject of a strategy: every decision, fill and mark of a run over the candles.

    is_ours  the strategy is built in, and so keeps nothing from one run to the next
    """
    from papertape.replay.backtesting.run import replay, warm_up

    def run(candles: Rows, batch: int = 0) -> Said:
        done = replay(make_spec(), [candles], "skip", batch_rows=batch or None)
        return statements(done.recorder, done.engine.base_ms)

    def warm(candles: Rows) -> None:
        spec = EngineSpec([Market("X")], Silent(("ema_12",)), "1h", "1h")
        warm_up(spec, [candles])

    if is_ours:
        return run
    return Foreign(run, is_fed=True, warm=warm)


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
