"""
What was decided and known at each close, for the replay on the report's page: the newest of it, as a page has no room for all.

    answers      what a strategy in kernels answered: target, confidence and the score by component
    predictions  what the model in force said
    unmet        the first condition that was not met, with `view.why`
    decisions    what changed by a decision; refusals: decisions and orders that were refused, and how many came before
    account      equity

Every table tells the time from which it is kept, so that the page never takes what it was not given for nothing.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.broker.working.orders import CAUSE_NAMES, KIND_NAMES, REFUSED
from papertape.engine.candles import FLAG_ABSENT
from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.performance.curve import Marks, units_of
from papertape.engine.records import PREDICTION, REFUSED_NAMES, Unmet
from papertape.replay.report.data import pack_floats, pack_integers, pack_steps

MOST_CLOSES: Final = 100_000  # of all symbols, of each table by close
MOST_CHANGES: Final = 20_000  # of one symbol, decisions and refusals
SCORES: Final = ("confidence", "score_model", "score_smc", "score_technical")
_SCORE_DIGITS: Final = 4
_MONEY_DECIMALS: Final = 4
_LARGEST: Final = 2**29
_DISTANCES: Final = ("stop_distance", "target_distance", "stop_price", "target_price")

_ANSWER: Final = np.dtype(
    [("second", "u4"), ("target", "i1"), *((name, "f4") for name in SCORES)]  # closes, until 2106
)
_SAID: Final = np.dtype(
    [("second", "u4"), ("symbol", "i2"), ("condition", "i2"), ("value", "f8"), ("threshold", "f8")]
)


class NewestRows:
    """The newest rows of a stream, at most so many."""

    def __init__(self, most: int, dtype: np.dtype[Any]) -> None:
        self._most, self._dtype = most, dtype
        self._parts: deque[Rows] = deque()
        self._kept = self._seen = 0

    def add(self, rows: Rows) -> None:
        """Take in the rows that come next."""
        if not len(rows):
            return
        self._parts.append(rows)
        self._kept += len(rows)
        self._seen += len(rows)
        while self._kept - len(self._parts[0]) >= self._most:
            self._kept -= len(self._parts.popleft())

    def rows(self) -> Rows:
        """Return what is kept, oldest first."""
        if not self._parts:
            return np.zeros(0, self._dtype)
        return np.concatenate(self._parts)[-self._most :]

    @property
    def is_whole(self) -> bool:
        """Return whether nothing was dropped."""
        return self._seen <= self._most


class StepLines:
    """Keeps what a run said at its closes, of every symbol, while it goes on."""

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = {symbol: index for index, symbol in enumerate(symbols)}
        share = max(MOST_CLOSES // len(symbols), 1)
        self.answers = [NewestRows(share, _ANSWER) for _ in symbols]
        self.predictions = NewestRows(MOST_CLOSES, PREDICTION)
        self.unmet = NewestRows(MOST_CLOSES, _SAID)
        self.conditions: dict[str, int] = {}

    def answered(self, symbol: int, answers: Rows, bars: Rows) -> None:
        """Take in the answers of a strategy in kernels to these closes of one symbol."""
        is_there = bars["flag_bits"] & FLAG_ABSENT == 0
        answers, bars = answers[is_there], bars[is_there]
        rows = np.zeros(len(bars), _ANSWER)
        rows["second"] = bars["open_ms"] // 1000
        for name in ("target", *SCORES):
            rows[name] = answers[name]
        self.answers[symbol].add(rows)

    def said(self, unmet: Sequence[Unmet]) -> None:
        """Take in the conditions that were not met."""
        if not unmet:
            return
        places = [self.conditions.setdefault(one.condition, len(self.conditions)) for one in unmet]
        rows = np.zeros(len(unmet), _SAID)
        rows["second"] = [one.time_ms // 1000 for one in unmet]
        rows["symbol"] = [self._symbols[one.symbol] for one in unmet]
        rows["condition"] = places
        for name in ("value", "threshold"):
            rows[name] = [getattr(one, name) for one in unmet]
        self.unmet.add(rows)


def pack_lines(lines: StepLines, symbol: int, length_ms: int) -> dict[str, Any]:
    """Return answers, predictions and unmet conditions of one symbol; a table without any row is left out."""
    answers = lines.answers[symbol]
    told = answers.rows()
    found: dict[str, Any] = {}
    if len(told):
        found["answers"] = {
            **_times(told["second"].astype(np.int64) + length_ms // 1000, answers.is_whole),
            "target": pack_integers(told["target"]),
            **{n: pack_floats(told[n].astype(np.float64), _SCORE_DIGITS) for n in SCORES},
        }
    own = lines.predictions.rows()
    own = own[own["symbol"] == symbol]
    if len(own):
        found["predictions"] = {
            **_times(own["time_ms"] // 1000, lines.predictions.is_whole),
            "version": pack_integers(own["version"]),
            "probability": pack_floats(own["probability"], _SCORE_DIGITS),
        }
    said = lines.unmet.rows()
    said = said[said["symbol"] == symbol]
    if len(said):
        found["unmet"] = {
            **_times(said["second"].astype(np.int64), lines.unmet.is_whole),
            "conditions": list(lines.conditions),
            "condition": pack_integers(said["condition"].astype(np.int64)),
            "value": pack_floats(said["value"]),
            "threshold": pack_floats(said["threshold"]),
        }
    return found


def pack_decisions(decisions: Rows) -> dict[str, Any]:
    """Return the newest DECISION records of one symbol that were not refused."""
    own = decisions[decisions["refused"] == 0]
    kept = own[-MOST_CHANGES:]
    return {
        **_times(kept["time_ms"] // 1000, len(kept) == len(own)),
        "target": pack_integers(kept["target"]),
        "version": pack_integers(kept["model_version"]),
        "size_scale": pack_floats(kept["size_scale"]),
        **{name: pack_floats(kept[name]) for name in (*_DISTANCES, *SCORES)},
    }


def pack_refusals(decisions: Rows, orders: Rows) -> dict[str, Any]:
    """
    Return the newest refusals of one symbol with what was refused and why, in words.

    earlier  how many there were of each reason before those
    """
    texts = {**REFUSED_NAMES, **CAUSE_NAMES}
    refused, asked = decisions[decisions["refused"] != 0], orders[orders["status"] == REFUSED]
    code = np.concatenate([refused["refused"], asked["cause"]]).astype(np.int64)
    what = np.concatenate([np.zeros(len(refused), np.int64), asked["kind"]])
    seconds = np.concatenate([refused["time_ms"], asked["time_ms"]]) // 1000
    order = np.argsort(np.concatenate([refused["sequence"], asked["sequence"]]), kind="stable")
    reasons, reason = np.unique(code[order], return_inverse=True)
    kinds, kind = np.unique(what[order], return_inverse=True)
    dropped = max(len(order) - MOST_CHANGES, 0)
    return {
        **_times(seconds[order][dropped:], not dropped),
        "reasons": [texts[number] for number in reasons.tolist()],
        "kinds": [
            f"{KIND_NAMES.get(number, 'an')} order" if number else "entry" for number in kinds.tolist()
        ],
        "reason": pack_integers(reason[dropped:]),
        "kind": pack_integers(kind[dropped:]),
        "earlier": np.bincount(reason[:dropped], minlength=len(reasons)).tolist(),
    }


def pack_account(marks: Marks, candles: Mapping[str, Rows], length_ms: int) -> dict[str, Any]:
    """Return equity at the newest closes of the strategy's timeframe."""
    closes = [rows["open_ms"][-MOST_CLOSES:] for rows in candles.values() if len(rows)]
    at_ms = np.unique(np.concatenate(closes))[-MOST_CLOSES:] + length_ms if closes else _NO_TIMES
    time_ms = np.asarray(marks["time_ms"])
    place = np.minimum(np.searchsorted(time_ms, at_ms), max(len(time_ms) - 1, 0))
    is_there = time_ms[place] == at_ms if len(time_ms) else np.zeros(len(at_ms), np.bool_)
    equity = np.asarray(marks["equity"])[place[is_there]] / units_of(marks)
    decimals = _money_decimals(equity)
    whole = sum(map(len, candles.values())) <= MOST_CLOSES
    values = np.rint(equity * 10.0**decimals).astype(np.int64)
    return {**_times(at_ms[is_there] // 1000, whole), "decimals": decimals, "equity": pack_steps(values)}


_NO_TIMES: Final = np.zeros(0, np.int64)


def _money_decimals(equity: FloatArray) -> int:
    top = float(np.abs(equity).max()) if len(equity) else 0.0
    return min(_MONEY_DECIMALS, int(np.floor(np.log10(_LARGEST / max(top, 1.0)))))


def _times(seconds: IntArray, is_whole: bool) -> dict[str, Any]:
    """Return rising times as the page reads them, and since when there are rows: 0 for always."""
    since = 0 if is_whole or not len(seconds) else int(seconds[0])
    return {"since": since, "time": pack_steps(seconds)}


def pack_closes(
    lines: StepLines | None,
    decisions: Rows | None,
    orders: Rows | None,
    symbols: Sequence[str],
    length_ms: int,
) -> dict[str, dict[str, Any]]:
    """Return by symbol every table that there is of its closes."""
    packed = {}
    for index, symbol in enumerate(symbols):
        found = pack_lines(lines, index, length_ms) if lines is not None else {}
        if decisions is not None and orders is not None:
            own = decisions[decisions["symbol"] == index]
            found["decisions"] = pack_decisions(own)
            found["refusals"] = pack_refusals(own, orders[orders["symbol"] == index])
        if found:
            packed[symbol] = found
    return packed
