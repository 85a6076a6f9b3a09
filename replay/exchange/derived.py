"""
Series that a venue has beside trades, derived plainly from the tape: mark and index price, funding, open interest, the day.

Mark and index are the last price. Open interest is the volume of the last 24 hours, in whole contracts. Funding follows
reference 5.3 in percent per interval: F = P + clamp(I - P, ±0.05 h/8), I = 0.01 h/8 for an interval of h hours, where P
is the average of (close - typical) / typical over the interval's candles so far, typical = (open + high + low + close) / 4.
"""

from typing import Final, NamedTuple

import numpy as np

from papertape.engine.candles import DAY_MS, HOUR_MS
from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.products import EIGHT_HOURS_S
from papertape.replay.exchange.trades import Candle

INTEREST_PERCENT: Final = 0.01  # per eight hours
CLAMP_PERCENT: Final = 0.05
_SIX_HOURS_MS: Final = 6 * HOUR_MS


class Day(NamedTuple):
    """The rolling 24 hours."""

    open: float | None
    high: float | None
    low: float | None
    close: float | None
    volume: float  # contracts
    turnover: float


def day_of(market: TapeMarket, now_ms: int) -> Day:
    """Return the last 24 hours, whole base candles and the forming one."""
    forming_ms = market.bucket(now_ms, market.base_ms)
    rows = slice(market.index(now_ms - DAY_MS), market.index(forming_ms))
    columns = {name: values[rows] for name, values in market.columns.items()}
    forming = market.candle(forming_ms, market.base_ms, now_ms)
    if forming is not None:
        columns = {name: np.append(values, getattr(forming, name)) for name, values in columns.items()}
    if not len(columns["open_ms"]):
        return Day(None, None, None, market.last_price(now_ms), 0.0, 0.0)
    volume = columns["volume"]
    return Day(
        float(columns["open"][0]),
        float(columns["high"].max()),
        float(columns["low"].min()),
        float(columns["close"][-1]),
        float(volume.sum()),
        float((volume * columns["close"]).sum()) * float(market.listing.contract_value),
    )


def open_interest(market: TapeMarket, now_ms: int) -> int:
    """Return the open contracts."""
    rows = slice(market.index(now_ms - DAY_MS), market.index(now_ms - market.base_ms + 1))
    return round(float(market.columns["volume"][rows].sum()))


def open_interest_change(market: TapeMarket, now_ms: int) -> float:
    """Return by how much open interest grew in six hours, in quote."""
    change = open_interest(market, now_ms) - open_interest(market, now_ms - _SIX_HOURS_MS)
    return change * (market.last_price(now_ms) or 0.0)


def next_settlement_ms(market: TapeMarket, now_ms: int) -> int:
    """Return the first settlement after `now_ms`."""
    interval_ms = market.listing.funding_s * 1000
    return (now_ms // interval_ms + 1) * interval_ms


def funding_rate(market: TapeMarket, now_ms: int) -> float:
    """Return the estimate for the running interval, in percent per interval."""
    interval_ms = market.listing.funding_s * 1000
    start_ms = now_ms // interval_ms * interval_ms
    rows = slice(market.index(start_ms), market.index(now_ms - market.base_ms + 1))
    start, high, low, close = (market.columns[name][rows] for name in ("open", "high", "low", "close"))
    typical = (start + high + low + close) / 4.0
    premium = 100.0 * float(((close - typical) / typical).mean()) if len(close) else 0.0
    scale = market.listing.funding_s / EIGHT_HOURS_S
    clamp = CLAMP_PERCENT * scale
    return round(premium + min(max(INTEREST_PERCENT * scale - premium, -clamp), clamp), 6)


def settled_rate(market: TapeMarket, now_ms: int) -> float:
    """Return the rate of the newest settlement up to `now_ms`: the last estimate of the interval before."""
    interval_ms = market.listing.funding_s * 1000
    return funding_rate(market, now_ms // interval_ms * interval_ms - 1)


def derived_candles(kind: str, market: TapeMarket, candles: list[Candle]) -> list[Candle]:
    """Return the candles of a FUNDING or OI series in the buckets of the traded one."""
    if kind not in ("FUNDING", "OI"):
        return candles
    value_at = settled_rate if kind == "FUNDING" else open_interest
    found = []
    for candle in candles:
        value = float(value_at(market, candle.open_ms))
        found.append(Candle(candle.open_ms, value, value, value, value, 0.0))
    return found
