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
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows, copy_rows
from papertape.replay.research.cuts import even_cuts, telling_cuts
from papertape.replay.research.subjects import OPENING_MS, Foreign, Said, Subject, Tapes, each_of, together
from papertape.replay.runtime.fork_server import ForkServer
from papertape.replay.runtime.isolated import ForkResult, run_apart

LIMITS: Final = (
    "not seen: what is opened outside Python's own sight, what a library keeps in machine code, and data that is written in "
    "the code itself"
)
_EVERYWHERE_S: Final = 10.0


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


def prove(
    name: str,
    subject: Subject | Foreign,
    candles: Tapes,
    n_cuts: int = 40,
    seed: int = 1,
    on_progress: Callable[[int, int], None] | None = None,
) -> Proof:
    """
    Return the proof, or the first leak, for a subject over these candles.

    subject  a function of candles that returns what was said, by name, each with the close time at which it was said
    candles  of one symbol, or of several in the engine's order: then the instants that all of them have, cut at one time
    n_cuts   how many places are tried, spread over the tape with a seeded jitter; of a user's code as many more, where
             something happened
    """
    tapes = together(each_of(candles))
    first = tapes[0]
    if len(first) < 50:
        raise DataError(f"prove: {len(first)} candles are fewer than the 50 that it needs")
    random = np.random.default_rng(seed)
    with contextlib.closing(_Trial(subject, tapes)) as trial:
        return _proof(name, trial, n_cuts, random, on_progress)


def _proof(
    name: str,
    trial: "_Trial",
    n_cuts: int,
    random: np.random.Generator,
    on_progress: Callable[[int, int], None] | None,
) -> Proof:
    """Return the proof of what a trial runs."""
    tapes, first = trial.tapes, trial.tapes[0]
    cuts = even_cuts(len(first), n_cuts, random)
    whole = trial.run(tapes)
    compared, cut_off = 0, 0
    leak: Leak | None = None
    if isinstance(trial.subject, Foreign):
        telling = telling_cuts(first, whole, trial.step_ms, random)
        cuts = sorted({*cuts, *telling[:n_cuts]})
        compared, cut_off, leak = trial.cut_everywhere(telling, whole)
    for number, cut in enumerate(cuts if leak is None else ()):
        count, leak = _try(trial, cut, whole, random)
        compared += count
        if leak is not None:
            break
        if on_progress is not None:
            on_progress(number + 1, len(cuts))
    return Proof(name, len(first), tuple(cuts), compared, leak, cut_off, trial.reads)


def _try(trial: "_Trial", cut: int, whole: Said, random: np.random.Generator) -> tuple[int, Leak | None]:
    """Return how many statements were compared at one cut, and the first that its future changed."""
    tapes = trial.tapes
    cut_off = trial.run([tape[:cut] for tape in tapes])
    scrambled = trial.run([scramble(tape, cut, random) for tape in tapes])
    opened = trial.run([scramble(tape, cut, random, keeps_open=True) for tape in tapes])
    known_ms = int(tapes[0]["open_ms"][cut - 1]) + trial.step_ms
    open_ms = int(tapes[0]["open_ms"][cut]) + OPENING_MS
    compared = 0
    for kind, at_ms, then, later in (
        ("repaint", known_ms, cut_off, whole),
        ("look-ahead", known_ms, cut_off, scrambled),
        ("look-ahead inside a candle", open_ms, opened, whole),
    ):
        count, leak = _compare(kind, cut, at_ms, then, later)
        compared += count
        if leak is not None:
            return compared, leak
    return compared, None


class _Trial:
    """Runs a subject over candles: ours here, a user's each time in a process of its own."""

    def __init__(self, subject: Subject | Foreign, tapes: list[Rows]) -> None:
        self.subject, self.tapes = subject, tapes
        self.step_ms = int(np.min(np.diff(tapes[0]["open_ms"])))
        self._reads: dict[str, None] = {}
        if isinstance(subject, Foreign) and subject.warm is not None:
            subject.warm(tapes)
        self._server: ForkServer | None = None
        if isinstance(subject, Foreign) and subject.begin is not None:
            self._server = ForkServer(subject.begin, self._work)

    @property
    def reads(self) -> tuple[str, ...]:
        """Return what a user's code read beside its candles."""
        return tuple(self._reads)

    def run(self, tapes: list[Rows], batch: int = 0) -> Said:
        """Return what the subject says of candles, `batch` at a time if it is fed; 0: all at once."""
        copies = [copy_rows(tape) for tape in tapes]
        rows = copies[0] if len(copies) == 1 else copies
        if not isinstance(self.subject, Foreign):
            return self.subject(rows)
        if self._server is not None:
            answer = self._server.run(copies, batch)
        else:
            answer = run_apart(lambda: self._work(copies, batch))
        self._note(answer)
        names = answer.values["names"]
        return {name: (answer.arrays[f"0 {name}"], answer.arrays[f"1 {name}"]) for name in names}

    def close(self) -> None:
        """End the process that trials are copies of, if there is one."""
        if self._server is not None:
            self._server.close()

    def _work(self, tapes: list[Rows], batch: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what a user's code says of candles, as arrays, in the process that is for it."""
        rows = tapes[0] if len(tapes) == 1 else tapes
        assert isinstance(self.subject, Foreign)
        run = self.subject.run
        said = run(rows, batch) if batch else run(rows)
        arrays = {f"{part} {name}": pair[part] for name, pair in said.items() for part in (0, 1)}
        return {"names": list(said)}, arrays

    def _note(self, answer: ForkResult) -> None:
        """Keep what was read, and load libraries here that the next process would load again."""
        self._reads |= dict.fromkeys(answer.reads)
        for name in answer.libraries:
            with contextlib.suppress(Exception):  # a library that cannot be loaded again: the next one tries
                importlib.import_module(name)

    def cut_everywhere(self, cuts: list[int], whole: Said) -> tuple[int, int, Leak | None]:
        """Return how many statements were compared, behind how many candles the tape ended, and the first leak."""
        subject, candles, step_ms = self.subject, self.tapes[0], self.step_ms
        assert isinstance(subject, Foreign)
        if subject.is_fed:
            end_ms = int(candles["open_ms"][-1]) + step_ms
            one_by_one = self.run(self.tapes, batch=1)
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


def scramble(candles: Rows, cut: int, random: np.random.Generator, *, keeps_open: bool = False) -> Rows:
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


def _compare(kind: str, cut: int, known_ms: int, then: Said, later: Said) -> tuple[int, Leak | None]:
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
