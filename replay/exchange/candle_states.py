"""
What the candle stream says and when: the states of a market's candles in the order of their publication.

The forming candle is repeated as it changes, there is no closed flag, and when the last state is sent, if at all, is a
switch. A generator gives the states of one market and resolution as a function of tape and switches; who listens makes
no difference, so it can be begun at any instant.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from papertape.replay.exchange.market import TapeMarket, joined, traded
from papertape.replay.exchange.quirks import FinalFrame, Publishing, Switches
from papertape.replay.exchange.trades import Candle, Trade

GRID_MS: Final = 500  # of the publishing timer
_EMPTY_MS: Final = 150  # after a candle's start: a frame that says it has no trades yet

FinalFrameAt = Callable[[int], FinalFrame]


class CandleState(NamedTuple):
    """One frame to be: the state of a candle, and when it is published."""

    publish_ms: int
    candle: Candle


class Held(NamedTuple):
    """The last state of a candle, to be published after its end."""

    candle: Candle
    how: FinalFrame


class Segment(NamedTuple):
    """A stretch of trades inside one candle: the whole of it, or one base candle of a longer one."""

    start_ms: int
    end_ms: int
    bucket_ms: int
    is_last: bool
    is_whole: bool  # the candle consists of whole base candles
    before: Candle | None  # the candle's state at the start


def candle_states(
    market: TapeMarket,
    length_ms: int,
    after_ms: int,
    switches: Switches,
    final_frame_at: FinalFrameAt | None = None,
) -> Iterator[CandleState]:
    """
    Yield the states that are published after `after_ms`, in time order, until the tape is over.

    final_frame_at  in place of the switch: what happens to the final frame of the candle that ends then
    """
    step_ms = math.gcd(length_ms, market.base_ms)
    # One step earlier: the candle before may have a late frame to come.
    start_ms = market.bucket(max(after_ms - step_ms, market.first_ms), step_ms)
    state = market.candle(market.bucket(start_ms, length_ms), length_ms, start_ms - 1)
    held: Held | None = None
    waiting: list[CandleState] = []
    while start_ms < market.end_ms or held is not None or waiting:
        bucket_ms, end_ms = market.bucket(start_ms, length_ms), start_ms + step_ms
        segment = Segment(
            start_ms,
            end_ms,
            bucket_ms,
            is_last=end_ms == bucket_ms + length_ms,
            is_whole=length_ms % market.base_ms == 0,
            before=None if start_ms == bucket_ms else state,
        )
        how = final_frame_at(end_ms) if final_frame_at else switches.final_frame
        states, state, following = _told(market, segment, switches, how)
        if held is not None:
            states.append(CandleState(_late_ms(held, states, start_ms, switches), held.candle))
        held = following
        states = sorted([*waiting, *states], key=_publish_ms)
        waiting = [known for known in states if known.publish_ms >= end_ms]
        yield from (known for known in states if after_ms < known.publish_ms < end_ms)
        start_ms = end_ms


def _told(
    market: TapeMarket, segment: Segment, switches: Switches, how: FinalFrame
) -> tuple[list[CandleState], Candle | None, Held | None]:
    """Return what is told during a segment, the candle's state after it, and what is held back for later."""
    trades = market.between(segment.start_ms, segment.end_ms)
    candles = _states_after(trades, segment)
    states = _published(segment, trades, candles, switches.publishing)
    states += _empty(market, segment, trades, switches)
    if not candles:
        return states, segment.before, None
    final = candles[-1]
    if not segment.is_last or how == "before_roll":
        return states, final, None
    states = [known for known in states if known.candle is not final]
    return states, final, None if how == "missing" else Held(final, how)


def _publish_ms(state: CandleState) -> int:
    return state.publish_ms


def _states_after(trades: list[Trade], segment: Segment) -> list[Candle]:
    """Return the candle after each trade, added in the order in which the history adds (`Market.candle`)."""
    candles = []
    is_joined = segment.is_whole and segment.before is not None
    own = None if is_joined else segment.before
    for trade in trades:
        own = traded(own, trade, segment.bucket_ms)
        candles.append(joined(segment.before, own, segment.bucket_ms) if is_joined else own)
    return candles


def _published(
    segment: Segment, trades: list[Trade], candles: list[Candle], publishing: Publishing
) -> list[CandleState]:
    """Return the states that the publishing rule lets out."""
    if publishing == "every_trade":
        return [CandleState(trade.time_ms, candle) for trade, candle in zip(trades, candles, strict=True)]
    newest: dict[int, Candle] = {}  # by publication
    for trade, candle in zip(trades, candles, strict=True):
        newest[min(-(-trade.time_ms // GRID_MS) * GRID_MS, segment.end_ms - 1)] = candle
    if publishing == "always" and newest:
        repeated = dict(newest)
        first_ms, last = next(iter(newest)), next(iter(newest.values()))
        for publish_ms in range(-(-first_ms // GRID_MS) * GRID_MS, segment.end_ms, GRID_MS):
            last = repeated.setdefault(publish_ms, last)
        newest = repeated
    return [CandleState(publish_ms, candle) for publish_ms, candle in newest.items()]


def _empty(
    market: TapeMarket, segment: Segment, trades: list[Trade], switches: Switches
) -> list[CandleState]:
    """Return the frames that say of a candle that it has no trades, yet or at all."""
    if switches.no_trade == "silent" or segment.before is not None:
        return []
    price = market.last_price(segment.start_ms - 1)
    if price is None:
        return []
    shown = price if switches.no_trade == "flat" else None
    candle = Candle(segment.bucket_ms, shown, shown, shown, shown, 0.0)
    first_ms, last_ms = segment.start_ms + _EMPTY_MS, segment.end_ms - 1
    states = []
    if switches.no_trade_at != "end" and segment.start_ms == segment.bucket_ms:
        states.append(CandleState(first_ms, candle))
        if switches.publishing == "always":
            until_ms = trades[0].time_ms if trades else segment.end_ms
            grid = range(-(-first_ms // GRID_MS) * GRID_MS, until_ms, GRID_MS)
            states += [CandleState(publish_ms, candle) for publish_ms in grid]
    if switches.no_trade_at != "start" and segment.is_last and not trades:
        states.append(CandleState(last_ms, candle))
    return states


def _late_ms(late: Held, states: list[CandleState], start_ms: int, switches: Switches) -> int:
    """Return when a held state is published: after the boundary, or after the first frame of the next candle."""
    first_ms = min((state.publish_ms for state in states), default=start_ms)
    if late.how == "late":
        return first_ms + switches.late_ms
    return start_ms + min(switches.late_ms, _EMPTY_MS - 50)
