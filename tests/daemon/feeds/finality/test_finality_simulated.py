"""Finality against a market with every way a venue may behave: the candles emitted are the candles that were."""

import itertools
from typing import Any

import orjson
import pytest

from papertape.daemon.feeds.delta.messages import CandleFrame, NoTrade, parse
from papertape.daemon.feeds.finality.bars import Bar
from papertape.daemon.feeds.finality.finality import Finality, Rules
from papertape.daemon.feeds.finality.trades import TradeCandles
from papertape.daemon.feeds.protocol import NoticeKind
from papertape.engine.candles import FLAG_FILLED
from tests.support.feed_market import CONTRACT_VALUE, LENGTH_MS, START_MS, Market, Simulation, Switches

RULES = Rules(LENGTH_MS)
N_BARS = 10
BUSY = Market("BTCUSD", seed=3, trades_per_bar=14.0, n_bars=N_BARS)
THIN = Market("THINUSD", seed=5, trades_per_bar=0.8, n_bars=N_BARS)


def simulate(market: Market, switches: Switches, source: str = "stream") -> Simulation:
    """Return the simulation of a market after all its candles had their time."""
    table = Finality([market.symbol], RULES, source)
    table.start(market.symbol, START_MS - LENGTH_MS, market.price_before(START_MS))
    simulation = Simulation(
        table,
        lambda request: market.history(
            switches, request.first_ms, request.last_ms, request.asked_ms + 50, CONTRACT_VALUE
        ),
    )
    if source != "poll":
        table.connect(START_MS)
    if source == "stream":
        for time_ms, frame in market.frames(switches):
            simulation.at(time_ms, lambda now_ms, f=frame: show(table, f, now_ms))
    if source == "trades":
        candles = TradeCandles(LENGTH_MS, CONTRACT_VALUE)
        for trade in market.trades:
            if trade.time_ms >= START_MS:
                simulation.at(
                    trade.time_ms + 260,
                    lambda now_ms, t=trade: table.see(
                        market.symbol, candles.add(t.price, t.contracts, t.time_ms * 1000), 0, now_ms
                    ),
                )
    simulation.run(START_MS + N_BARS * LENGTH_MS + 45_000)
    return simulation


def show(table: Finality, frame: dict[str, Any], now_ms: int) -> None:
    """Let a frame take its way through bytes and parser into the table."""
    parsed = parse(orjson.dumps(frame))
    if isinstance(parsed, NoTrade):
        return
    assert isinstance(parsed, CandleFrame)
    bar = Bar(*parsed[2:7], parsed.contracts * CONTRACT_VALUE)
    table.see(parsed.symbol, bar, parsed.published_us, now_ms)


def bars(simulation: Simulation) -> list[Bar]:
    return [final.bar for final in simulation.finals]


COMBINATIONS = [
    Switches(has_start=has_start, final=final, no_trade=no_trade, publish=publish)
    for has_start, final, no_trade, publish in itertools.product(
        (True, False),
        ("before", "after", "late", "missing"),
        ("silent", "null", "flat"),
        ("changed", "always", "trade"),
    )
]


@pytest.mark.parametrize("switches", COMBINATIONS, ids=str)
@pytest.mark.parametrize("market", [BUSY, THIN], ids=["busy", "thin"])
def test_every_candle_is_the_venues_whatever_it_publishes(market: Market, switches: Switches) -> None:
    simulation = simulate(market, switches)

    assert bars(simulation) == market.truth()
    assert all(final.is_confirmed for final in simulation.finals)


LAGS = [
    Switches(has_start=has_start, final=final, lag_ms=lag_ms, lag=lag)
    for has_start, final, lag_ms, lag in itertools.product(
        (True, False), ("before", "late", "missing"), (400, 1_500, 4_000, 6_500), ("padded", "absent")
    )
]


@pytest.mark.parametrize("switches", LAGS, ids=str)
@pytest.mark.parametrize("market", [BUSY, THIN], ids=["busy", "thin"])
@pytest.mark.parametrize("source", ["stream", "trades", "poll"])
def test_a_history_that_lags_is_not_believed_too_early(
    market: Market, switches: Switches, source: str
) -> None:
    assert bars(simulate(market, switches, source)) == market.truth()


@pytest.mark.parametrize("lag_ms", [9_000, 20_000, 50_000])
@pytest.mark.parametrize("lag", ["padded", "absent"])
def test_the_stream_counts_when_history_is_far_behind(lag_ms: int, lag: Any) -> None:
    switches = Switches(final="before", lag_ms=lag_ms, lag=lag)

    assert bars(simulate(BUSY, switches)) == BUSY.truth()


def test_a_candle_without_trade_is_flagged_as_filled() -> None:
    flags = {final.bar.open_ms: final.flag_bits for final in simulate(THIN, Switches()).finals}

    assert flags == {bar.open_ms: 0 if bar.volume else FLAG_FILLED for bar in THIN.truth()}
    assert FLAG_FILLED in flags.values()


def test_a_sparse_history_leaves_absent_candles_where_nothing_traded() -> None:
    simulation = simulate(THIN, Switches(gaps="sparse"))

    assert bars(simulation) == THIN.truth()
    absent = {final.bar.open_ms for final in simulation.finals if final.source == "absent"}
    assert absent == {bar.open_ms for bar in THIN.truth() if not bar.volume}
    assert {n.open_ms for n in simulation.notices if n.kind is NoticeKind.ABSENT} == absent


@pytest.mark.parametrize("trades_per_bar", [120.0, 30.0, 14.0, 5.0])
def test_a_candle_is_final_as_soon_as_history_has_moved_past_it(trades_per_bar: float) -> None:
    """
    The next candle's first trade proves it: at the looks after 1, 3 and 8 s, or half a second after the stream showed it.

    The stream shows a trade at the next half second, an answer says what was known 50 ms after the question and takes
    100 ms.
    """
    market = Market("BTCUSD", seed=8, trades_per_bar=trades_per_bar, n_bars=N_BARS)
    simulation = simulate(market, Switches())
    delays = [
        at_ms - final.bar.open_ms - LENGTH_MS
        for final, at_ms in zip(simulation.finals, simulation.final_at, strict=True)
    ]

    expected = []
    for number in range(1, N_BARS + 1):
        end_ms = START_MS + number * LENGTH_MS
        first_ms = next(t.time_ms for t in market.trades if t.time_ms >= end_ms) - end_ms
        looks = [ms for ms in (1_000, 3_000, 8_000) if ms + 50 >= first_ms] or [8_000]
        told_ms = max(-(-first_ms // 500) * 500, 500) + 500
        expected.append(min(looks[0], max(told_ms, 1_000), 8_000) + 100)
    assert bars(simulation) == market.truth()
    assert delays == expected
