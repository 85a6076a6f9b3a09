"""
The conformance table: what a venue would do with an order, situation by situation.

`conformance/*.txt` are read as they stand: candles, what a strategy writes at the close of some of them, and the fills and
ends of orders that come of it, all worked out by hand from `deploy/docs/orders.md`. Costs are 0 unless a row says so.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine import Decision, EngineSpec, Market, Settings
from papertape.engine.broker.working.orders import (
    CANCELLED,
    CAUSE_NAMES,
    EXPIRED,
    REFUSED,
    STATUS_NAMES,
    tag_text,
)
from papertape.engine.candles import CANDLE
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command
from papertape.engine.jit import Rows
from papertape.engine.performance import measure
from papertape.engine.records import AMBIGUOUS_ENTRY, REASON_NAMES, REFUSED_NAMES

FOLDER = Path(__file__).parent / "conformance"
MINUTE_MS = 60_000
ENDS = (CANCELLED, EXPIRED, REFUSED)
MARKET = {
    "is_perpetual": True,
    "tick_size": 0.5,
    "taker_fee_rate": 0.0,
    "maker_fee_rate": 0.0,
    "half_spread_rate": 0.0,
    "slippage_rate": 0.0,
}
ACCOUNT = {"sizing": "all_in", "leverage_cap": 10.0}


@dataclass
class Situation:
    """One row of the table."""

    title: str
    options: dict[str, Any] = field(default_factory=dict)
    candles: list[tuple[float, ...]] = field(default_factory=list)
    asked: dict[int, list[str]] = field(default_factory=dict)
    expected: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return self.title


def read(path: Path) -> Iterator[Situation]:
    """Yield the situations of a file; see the top of each for its format."""
    situation: Situation | None = None
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.split("  #")[0].strip()
        if line.startswith("== "):
            if situation is not None:
                yield situation
            situation = Situation(line.removeprefix("== ").strip())
        elif situation is None or not text:
            continue
        elif text.startswith("with "):
            pairs = (part.split("=") for part in text.removeprefix("with ").split())
            situation.options = {name: eval(value, {}) for name, value in pairs}  # noqa: S307
        elif text.startswith("> "):
            situation.expected.append(" ".join(text.removeprefix("> ").split()))
        elif re.match(r"[\d.]+ ", text):
            situation.candles.append(tuple(float(part) for part in text.split()))
        else:
            situation.asked.setdefault(len(situation.candles), []).append(text)
    if situation is not None:
        yield situation


SITUATIONS = [one for path in sorted(FOLDER.glob("*.txt")) for one in read(path)]
TARGETS = list(read(FOLDER.parent / "targets.txt"))  # a shorthand of ours: other engines are not asked


class Scripted:
    """A strategy that does at each close what its row says."""

    features = ()
    state_fields = ("n",)

    def __init__(self, asked: tuple[tuple[int, tuple[str, ...]], ...]) -> None:
        self.asked = asked

    def decide(self, view: Any) -> Any:
        view.state.n += 1
        answer = None
        for number, lines in self.asked:
            if number == view.state.n:
                for line in lines:
                    answer = run(line, view)
        return answer


def run(line: str, view: Any) -> Any:
    """Run one line of a row as a strategy would; only a decision is an answer."""
    names = {"view": view, "Decision": Decision, "LONG": 1, "SHORT": -1, "FLAT": 0}
    if line.startswith("return "):
        return eval(line.removeprefix("return "), names)  # noqa: S307
    exec(line, names)  # noqa: S102
    return None


def candles_of(situation: Situation) -> Rows:
    rows = np.zeros(len(situation.candles), CANDLE)
    for number, values in enumerate(situation.candles):
        rows[number]["open_ms"] = number * MINUTE_MS
        for name, value in zip(("open", "high", "low", "close"), values, strict=False):
            rows[number][name] = value
        rows[number]["volume"] = values[4] if len(values) > 4 else 1000.0
    return rows


def engine_of(situation: Situation) -> Engine:
    market = {n: situation.options.get(n, value) for n, value in MARKET.items()}
    market |= {n: v for n, v in situation.options.items() if n in Market.__dataclass_fields__}
    account = ACCOUNT | {n: v for n, v in situation.options.items() if n in Settings.__dataclass_fields__}
    asked = tuple((number, tuple(lines)) for number, lines in situation.asked.items())
    return Engine(
        EngineSpec(
            [Market("AAA", **market)],
            Scripted(asked),
            "1m",
            "1m",
            capital=situation.options.get("capital", 10_000.0),
            settings=Settings(**account),
        )
    )


def outcome(engine: Engine, rows: Rows, batch: int) -> list[str]:
    """Return fills, ends of orders and what is left, in the words of the table."""
    told: list[tuple[int, str]] = []
    causes = {**REFUSED_NAMES, **CAUSE_NAMES}
    for start in range(0, len(rows), batch):
        report = engine.step(rows[start : start + batch])
        assert not report.faults, report.faults[0]
        for fill in report.fills:
            side = "buy" if fill["side"] > 0 else "sell"
            number = fill["candle_ms"] // MINUTE_MS + 1
            reason = REASON_NAMES[int(fill["reason"])]
            told.append(
                (fill["sequence"], f"{number} {side} {fill['quantity']:.8g} @ {fill['price']:.8g} {reason}")
            )
        for event in report.orders:
            if event["status"] in ENDS:
                tag = tag_text(event["tag"])
                what = STATUS_NAMES[int(event["status"])]
                cause = causes.get(int(event["cause"]), "") if event["cause"] else ""
                text = f"{what} {tag}".strip() + (f": {cause}" if cause else "")
                told.append((event["sequence"], text))
    told.sort()
    return [text for _, text in told]


def left_over(engine: Engine) -> dict[str, float]:
    """Return what a row may also say of the end."""
    position = engine.positions[0]
    trades = engine.open_trades()
    return {
        "position": float(position["quantity"]),
        "stop": float(position["stop_price"]),
        "target": float(position["target_price"]),
        "entry": float(position["entry_price"]) if position["quantity"] else 0.0,
        "cash": int(engine.account[0]["cash"]) / 1e9,
        "fees": int(engine.account[0]["fees"]) / 1e9,
        "orders": float(position["working"]),
        "open_pnl": int(trades["pnl"].sum()) / 1e9,
    }


def test_the_table_is_large_and_no_two_rows_are_one() -> None:
    titles = [situation.title for situation in SITUATIONS]
    assert len(set(titles)) == len(titles) >= 150


@pytest.mark.parametrize("situation", [*SITUATIONS, *TARGETS], ids=str)
def test_an_order_does_what_a_venue_would_do(situation: Situation) -> None:
    rows = candles_of(situation)
    engine = engine_of(situation)
    told = outcome(engine, rows, len(rows))
    checks = [line for line in situation.expected if re.match(r"[a-z_]+ = ", line)]
    assert told == [line for line in situation.expected if line not in checks]
    for line in checks:
        name, value = line.split(" = ")
        assert left_over(engine)[name] == pytest.approx(float(value), abs=1e-9), name
    one_by_one = engine_of(situation)
    assert outcome(one_by_one, rows, 1) == told
    assert one_by_one.digest == engine.digest


def test_an_entry_in_whose_candle_the_stop_lies_too_is_said_with_what_it_might_have_cost() -> None:
    """Bought 1 at 102 in a candle down to 97, stop 98 and risk 4; sold at 101, so 1 lost: 3 less."""
    situation = Situation(
        "before or after",
        candles=[(100, 101, 99, 100), (100, 103, 97, 101), (101, 102, 100, 101), (101, 102, 100, 101)],
        asked={1: ["view.buy(1, stop=102, stop_loss=98)"], 3: ["view.exit()"]},
    )
    report = engine_of(situation).step(candles_of(situation))
    sheet = measure(report.trades, report.marks, 10_000.0)

    assert report.trades["is_ambiguous"].tolist() == [AMBIGUOUS_ENTRY]
    assert sheet.metrics["ambiguous_trades"] == 1
    [note] = [note for note in sheet.notes if "inside a candle" in note]
    assert note.startswith("1 trade was entered inside a candle in which the stop lay, too")
    assert note.endswith("stopped there, they would have made 3.00 quote less")


def test_why_nothing_may_be_opened_is_said_once_until_it_is_over() -> None:
    situation = Situation(
        "paused", candles=[(100, 101, 99, 100)] * 9, asked={n: ["view.buy(1)"] for n in range(1, 9)}
    )
    engine, rows = engine_of(situation), candles_of(situation)
    engine.step(Command(Action.PAUSE))
    assert outcome(engine, rows[:4], 1) == ["refused: trading is paused"]
    engine.step(Command(Action.RESUME))
    assert outcome(engine, rows[4:6], 1) == ["6 buy 1 @ 100 entry"]
    engine.step(Command(Action.PAUSE))
    assert outcome(engine, rows[6:], 1) == ["refused: trading is paused"]


def test_an_order_that_rests_waits_for_the_end_of_a_pause() -> None:
    situation = Situation(
        "resting",
        candles=[(100, 101, 99, 100)] + [(100, 101, 97, 100)] * 4,
        asked={1: ["view.buy(1, limit=98)"]},
    )
    engine, rows = engine_of(situation), candles_of(situation)
    assert outcome(engine, rows[:1], 1) == []
    engine.step(Command(Action.PAUSE))
    assert outcome(engine, rows[1:3], 1) == []
    engine.step(Command(Action.RESUME))
    assert outcome(engine, rows[3:], 1) == ["4 buy 1 @ 98 entry"]


def test_flatten_takes_every_order_back() -> None:
    situation = Situation(
        "flatten",
        candles=[(100, 101, 99, 100)] * 5,
        asked={
            1: ["view.buy(1)", "view.buy(1, limit=50, tag='dip')"],
            2: ["view.exit(0.5, limit=200, tag='tp')"],
        },
    )
    engine, rows = engine_of(situation), candles_of(situation)
    assert outcome(engine, rows[:3], 1) == ["2 buy 1 @ 100 entry"]
    taken = engine.step(Command(Action.FLATTEN)).orders
    assert [tag_text(row["tag"]) for row in taken] == ["dip", "tp"]
    assert outcome(engine, rows[3:], 1) == ["4 sell 1 @ 100 command"]
    assert left_over(engine)["orders"] == 0
