"""`on_fill` and `on_close`: once each, fills first, before `decide`, in any batching and through a restart."""

from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import numpy as np
import pytest

from papertape.engine import ClosedTrade, Engine, EngineSpec, Fill, Market, Settings
from papertape.engine.jit import Rows
from tests.engine.strategies.test_instructions import candles

PATH = [100.0, 100.0, 103.0, 106.0, 99.0, 95.0, 94.0, 97.0, 100.0, 104.0, 108.0, 99.0, 90.0]


class Listener:
    """Buys with a bracket at every flat close, and prints what it hears: a list of its own would be refused."""

    features = ()

    def decide(self, view: Any) -> None:
        print((view.time_ms, view.symbol, "decide"))  # noqa: T201
        if view.position == 0 and not view.orders:
            view.buy(2, limit=view.close + 1, stop_loss=view.close - 4)
        elif view.position > 0 and not view.orders:
            view.exit(0.5, limit=view.entry_price + 5)

    def on_fill(self, view: Any, fill: Fill) -> None:
        print((view.time_ms, view.symbol, "fill", fill))  # noqa: T201

    def on_close(self, view: Any, trade: ClosedTrade) -> None:
        print((view.time_ms, view.symbol, "close", trade))  # noqa: T201


def engine_of(timeframe: str, symbols: tuple[str, ...] = ("AAA",)) -> Engine:
    markets = [Market(name, is_perpetual=True, tick_size=0.5, lot_size=0.5) for name in symbols]
    settings = Settings("all_in", leverage_cap=10.0)
    return Engine(EngineSpec(markets, Listener(), timeframe, "1m", settings=settings))


def heard(engine: Engine, rows: Rows, batch: int) -> tuple[list[tuple[Any, ...]], list[Any]]:
    """Return what was heard, and the fills as the engine reported them."""
    fills = []
    with redirect_stdout(StringIO()) as printed:
        for start in range(0, len(rows), batch):
            report = engine.step(rows[start : start + batch])
            assert not report.faults, report.faults[0]
            fills += list(report.fills)
    names = {"Fill": Fill, "ClosedTrade": ClosedTrade}
    return [eval(line, names) for line in printed.getvalue().splitlines()], fills  # noqa: S307


@pytest.mark.parametrize("timeframe", ["1m", "5m"])
def test_every_fill_and_every_trade_is_told_once_at_the_next_close(timeframe: str) -> None:
    rows = candles(*PATH * 4)
    told, fills = heard(engine_of(timeframe), rows, len(rows))

    closes = [ms for ms, _, what, *_ in told if what == "decide"]
    in_time = [row for row in fills if row["candle_ms"] < closes[-1]]
    spoken = [one for one in told if one[2] == "fill"]
    assert len(spoken) == len(in_time) > 8
    for (ms, _, _, fill), row in zip(spoken, in_time, strict=True):
        assert (fill.side, fill.price, fill.quantity) == (row["side"], row["price"], row["quantity"])
        assert fill.time_ms < ms == min(close for close in closes if close > fill.time_ms)
    trades = [one[3] for one in told if one[2] == "close"]
    assert len(trades) == sum(row["position"] == 0.0 for row in in_time) >= 2
    assert trades[0].pnl == pytest.approx(
        sum(f[3].realised - f[3].fee for f in spoken[: spoken.index(_last_of(spoken)) + 1])
    )


def _last_of(spoken: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the first fill that left nothing."""
    return next(one for one in spoken if one[3].position == 0.0)


def test_at_one_close_fills_come_before_trades_and_trades_before_the_decision() -> None:
    rows = candles(*PATH * 4)
    told, _ = heard(engine_of("5m"), rows, len(rows))

    rank = {"fill": 0, "close": 1, "decide": 2}
    places = [(ms, symbol, rank[what]) for ms, symbol, what, *_ in told]
    assert places == sorted(places)
    assert any(what == "close" for _, _, what, *_ in told)


@pytest.mark.parametrize("batch", [1, 3, 7])
def test_no_batching_loses_or_repeats_a_call(batch: int) -> None:
    rows = candles(*PATH * 4)

    assert heard(engine_of("5m"), rows, batch)[0] == heard(engine_of("5m"), rows, len(rows))[0]


@pytest.mark.parametrize("place", range(1, 52, 3))
def test_no_restart_loses_or_repeats_a_call(place: int) -> None:
    rows = candles(*PATH * 4)
    whole = heard(engine_of("5m"), rows, len(rows))[0]

    first, second = engine_of("5m"), engine_of("5m")
    before = heard(first, rows[:place], 4)[0]
    second.restore(first.snapshot())
    after = heard(second, rows[place:], 4)[0]

    assert before + after == whole


def test_each_symbol_hears_its_own() -> None:
    one = candles(*PATH * 4)
    both = np.repeat(one, 2)
    both["symbol"][1::2] = 1
    for name in ("open", "high", "low", "close"):
        both[name][1::2] += 50.0
    told, fills = heard(engine_of("5m", ("AAA", "BBB")), both, 6)

    for index, symbol in enumerate(("AAA", "BBB")):
        prices = [row["price"] for row in fills if row["symbol"] == index]
        spoken = [one[3].price for one in told if one[1:3] == (symbol, "fill")]
        assert spoken == prices[: len(spoken)]
        assert len(prices) - len(spoken) <= 3


def test_a_hook_that_raises_is_a_fault_at_its_candle() -> None:
    class Broken(Listener):
        """Raises when it is told of a fill."""

        def on_fill(self, view: Any, fill: Fill) -> None:
            raise ValueError("not today")

    market = Market("AAA", is_perpetual=True, tick_size=0.5)
    spec = EngineSpec([market], Broken(), "1m", "1m", settings=Settings("all_in"))
    report = Engine(spec).step(candles(*PATH))

    assert "AAA, candle closed 1970-01-01T00:02:00Z: ValueError: not today" in str(report.faults[0])
