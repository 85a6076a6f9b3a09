"""What the candle stream says and when, for every answer to the open questions about finality."""

from typing import Any

import pytest

from papertape.replay.exchange.candle_states import GRID_MS, CandleState, candle_states
from papertape.replay.exchange.history import candle_history
from papertape.replay.exchange.quirks import Switches
from papertape.replay.exchange.trades import Candle
from tests.support.venue_client import MINUTE_MS, T0, make_market

END_MS = T0 + 6 * MINUTE_MS


def states(length_ms: int = MINUTE_MS, after_ms: int = T0, **switches: Any) -> list[CandleState]:
    """Return the states of a market of six minutes, the fourth of which has no trades."""
    market = make_market([1.0, 2.0, 3.0, 0.0, 5.0, 6.0])
    return list(candle_states(market, length_ms, after_ms, Switches(**switches)))


def truth(minute: int) -> Candle:
    k = minute
    return Candle(T0 + k * MINUTE_MS, 100.5 + k, 102.0 + k, 99.0 + k, 100.0 + k, float(k + 1))


def of_minute(found: list[CandleState], minute: int) -> list[CandleState]:
    return [state for state in found if state.candle.open_ms == T0 + minute * MINUTE_MS]


def is_after_end(state: CandleState) -> bool:
    return state.publish_ms >= state.candle.open_ms + MINUTE_MS


@pytest.mark.parametrize("publishing", ["if_changed", "always", "every_trade"])
def test_by_default_the_final_state_comes_before_the_next_candle(publishing: str) -> None:
    found = states(publishing=publishing)

    assert [s.publish_ms for s in found] == sorted(s.publish_ms for s in found)
    for minute in (0, 1, 2, 4, 5):
        last = of_minute(found, minute)[-1]
        assert last.candle == truth(minute)
        assert not is_after_end(last)
    assert of_minute(found, 3) == []


def test_publishing_follows_the_timer_or_the_trades() -> None:
    market = make_market([1.0] * 6)
    trade_times = [t.time_ms for stamp in market.stamps.tolist() for t in market.trades(stamp)]

    changed, always, each = (
        list(candle_states(market, MINUTE_MS, T0, Switches(publishing=publishing)))
        for publishing in ("if_changed", "always", "every_trade")
    )

    assert [s.publish_ms for s in each] == trade_times
    for found in (changed, always):
        off_grid = [s for s in found if s.publish_ms % GRID_MS]
        # Only a trade in the last half second is published off the timer, right before the roll.
        assert all((s.publish_ms + 1) % MINUTE_MS == 0 for s in off_grid)
    first = {}
    for state in changed:
        first.setdefault(state.candle.open_ms, state.publish_ms)
    expected = sum((open_ms + MINUTE_MS - ms + GRID_MS - 1) // GRID_MS for open_ms, ms in first.items())
    on_timer = [s for s in always if not s.publish_ms % GRID_MS]
    assert len(on_timer) == expected
    assert len(changed) < len(trade_times) + 1 < len(always)


def test_a_missing_final_frame_is_never_sent_and_everything_before_it_is() -> None:
    shown = [s.candle for s in states(publishing="every_trade")]

    found = [s.candle for s in states(publishing="every_trade", final_frame="missing")]

    assert found == [c for c in shown if c not in [truth(k) for k in (0, 1, 2, 4, 5)]]


def test_a_late_final_frame_comes_after_the_first_frame_of_the_next_candle() -> None:
    found = states(final_frame="late", late_ms=300)

    for minute, following in ((0, 1), (1, 2), (4, 5)):
        late = [s for s in of_minute(found, minute) if is_after_end(s)]
        first = of_minute(found, following)[0]
        assert [s.candle for s in late] == [truth(minute)]
        assert late[0].publish_ms == first.publish_ms + 300
    # Nothing follows the third at once, and nothing at all the last: the boundary counts then.
    assert of_minute(found, 2)[-1] == CandleState(T0 + 3 * MINUTE_MS + 300, truth(2))
    assert of_minute(found, 5)[-1] == CandleState(END_MS + 300, truth(5))


def test_a_final_frame_after_the_boundary_comes_before_the_next_candles_first() -> None:
    for empty in ({}, {"no_trade": "flat", "no_trade_at": "both"}):
        found = states(final_frame="after_end", publishing="every_trade", **empty)

        for minute, following in ((0, 1), (1, 2), (4, 5)):
            last = of_minute(found, minute)[-1]
            assert last.candle == truth(minute)
            assert is_after_end(last)
            assert last.publish_ms < of_minute(found, following)[0].publish_ms


@pytest.mark.parametrize(("no_trade", "price"), [("flat", 102.0), ("null", None)])
def test_a_candle_without_trades_is_told_at_its_start_its_end_or_both(
    no_trade: str, price: float | None
) -> None:
    empty = Candle(T0 + 3 * MINUTE_MS, price, price, price, price, 0.0)

    at_start, at_end, both = (states(no_trade=no_trade, no_trade_at=at) for at in ("start", "end", "both"))

    assert [s.candle for s in of_minute(at_start, 3)] == [empty]
    assert [s.candle for s in of_minute(at_end, 3)] == [empty]
    assert [s.candle for s in of_minute(both, 3)] == [empty, empty]
    assert of_minute(at_end, 3)[0].publish_ms == T0 + 4 * MINUTE_MS - 1
    # At the start nobody knows yet whether it will trade: the fifth candle is told so too, and trades later.
    assert of_minute(at_start, 4)[0].candle.volume == 0.0
    assert of_minute(at_start, 4)[-1].candle == truth(4)
    assert of_minute(at_end, 4)[0].candle.volume > 0.0


@pytest.mark.parametrize("minutes", [1, 3, 5])
def test_the_last_state_of_every_candle_is_bit_for_bit_the_historys(minutes: int) -> None:
    volumes = [0.1, 0.2, 0.3, 0.7, 1.1, 1e-7, 3.3, 0.4, 0.6]
    market = make_market(volumes)
    length_ms = minutes * MINUTE_MS
    shown = {}
    for _, candle in candle_states(market, length_ms, T0 - 1, Switches()):
        shown[candle.open_ms] = candle

    history = candle_history(market, length_ms, T0, T0 + 8 * MINUTE_MS, T0 + 10 * MINUTE_MS, Switches())

    assert list(shown.values()) == history


@pytest.mark.parametrize("final_frame", ["before_roll", "late", "after_end"])
def test_a_stream_that_begins_later_says_the_same_from_there_on(final_frame: str) -> None:
    for length_ms in (MINUTE_MS, 3 * MINUTE_MS, 20_000):
        whole = states(length_ms, final_frame=final_frame)

        for state in whole:
            later = states(length_ms, state.publish_ms, final_frame=final_frame)
            assert later == [s for s in whole if s.publish_ms > state.publish_ms]


def test_a_frame_may_be_later_than_the_whole_next_candle_and_holds_up_nothing() -> None:
    usual = states(final_frame="missing")

    found = states(final_frame="late", late_ms=100_000)

    late = [s for s in found if s.candle in [truth(k) for k in (0, 1, 2, 4, 5)]]
    assert len(late) == 5
    assert [s for s in found if s not in late] == usual
    assert [s.publish_ms for s in found] == sorted(s.publish_ms for s in found)
    assert late[0].publish_ms == of_minute(usual, 1)[0].publish_ms + 100_000


def test_every_combination_of_the_finality_unknowns_keeps_its_word() -> None:
    market = make_market([1.0, 2.0, 3.0, 0.0, 5.0, 6.0])

    for switches in Switches.combinations():
        found = list(candle_states(market, MINUTE_MS, T0, switches))

        assert [s.publish_ms for s in found] == sorted(s.publish_ms for s in found), switches
        for minute in (0, 1, 2, 4, 5):
            final = [s for s in of_minute(found, minute) if s.candle == truth(minute)]
            assert bool(final) == (switches.final_frame != "missing"), switches
            in_time = switches.final_frame == "before_roll"
            assert all(is_after_end(s) != in_time for s in final), switches
        empty = of_minute(found, 3)
        assert bool(empty) == (switches.no_trade != "silent"), switches
        price = truth(2).close if switches.no_trade == "flat" else None
        assert {s.candle.close for s in empty} <= {price}, switches
