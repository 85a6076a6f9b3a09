"""
The same work as a bare numba loop: no events, no ledger, no report, nothing saved. The yardstick for the engine.

W1 and W2 are the first two rows of `deploy/docs/speed.md`; each function returns (final equity, fills).
"""

import numba
import numpy as np

from papertape.engine.jit import Rows

_FEE = 5e-4
_SLIP = 1e-4
_CASH = 1_000_000.0
_SHARE = 0.99


@numba.njit
def w1(candles: Rows) -> tuple[float, int]:
    """Hold while EMA(12) > EMA(26), all-in, market orders at the next open."""
    a12, a26 = 2.0 / 13.0, 2.0 / 27.0
    cash, quantity, fills = _CASH, 0.0, 0
    fast = slow = candles[0].close
    want = False
    for i in range(len(candles)):
        price = candles[i].open
        if want and quantity == 0.0:
            cost = price * (1.0 + _SLIP)
            quantity = _SHARE * cash / (cost * (1.0 + _FEE))
            cash -= quantity * cost * (1.0 + _FEE)
            fills += 1
        elif not want and quantity > 0.0:
            cash += quantity * price * (1.0 - _SLIP) * (1.0 - _FEE)
            quantity = 0.0
            fills += 1
        close = candles[i].close
        fast += a12 * (close - fast)
        slow += a26 * (close - slow)
        want = i >= 26 and fast > slow
    return cash + quantity * candles[len(candles) - 1].close, fills


@numba.njit
def w2(candles: Rows) -> tuple[float, int]:
    """Eight indicators and a bracket, sized by risk."""
    a12, a26, a9 = 2.0 / 13.0, 2.0 / 27.0, 2.0 / 10.0
    cash, quantity, fills = _CASH, 0.0, 0
    stop = target = signal = gain = loss = 0.0
    fast = slow = before = candles[0].close
    atr = candles[0].high - candles[0].low
    window = np.zeros(20)
    total = squares = 0.0
    was_above = enter = leave = False
    entry_atr = 0.0
    for i in range(len(candles)):
        candle = candles[i]
        if leave and quantity > 0.0:
            cash += quantity * candle.open * (1.0 - _SLIP) * (1.0 - _FEE)
            quantity = 0.0
            fills += 1
        elif enter and quantity == 0.0:
            price = candle.open * (1.0 + _SLIP)
            quantity = min(0.001 * cash / (2.0 * entry_atr), _SHARE * cash / (price * (1.0 + _FEE)))
            cash -= quantity * price * (1.0 + _FEE)
            stop, target = price - 2.0 * entry_atr, price + 3.0 * entry_atr
            fills += 1
        if quantity > 0.0:
            if candle.low <= stop:
                price = min(candle.open, stop) * (1.0 - _SLIP)
                cash += quantity * price * (1.0 - _FEE)
                quantity = 0.0
                fills += 1
            elif candle.high >= target:
                cash += quantity * max(candle.open, target) * (1.0 - _FEE)
                quantity = 0.0
                fills += 1
        close = candle.close
        if i > 0:
            move = close - before
            gain += (max(move, 0.0) - gain) / 14.0
            loss += (max(-move, 0.0) - loss) / 14.0
            reach = max(candle.high - candle.low, abs(candle.high - before), abs(candle.low - before))
            atr += (reach - atr) / 14.0
        before = close
        fast += a12 * (close - fast)
        slow += a26 * (close - slow)
        signal += a9 * (fast - slow - signal)
        old = window[i % 20]
        window[i % 20] = close
        total += close - old
        squares += close * close - old * old
        is_above = fast > slow
        enter = False
        if i >= 40 and is_above and not was_above and quantity == 0.0 and fast - slow > signal:
            rsi = 100.0 * gain / (gain + loss) if gain + loss > 0.0 else 50.0
            middle = total / 20.0
            upper = middle + 2.0 * np.sqrt(max(squares / 20.0 - middle * middle, 0.0))
            enter = 50.0 < rsi < 75.0 and middle < close < upper
            entry_atr = atr
        leave = not is_above
        was_above = is_above
    return cash + quantity * candles[len(candles) - 1].close, fills


@numba.njit
def w1_hourly(candles: Rows) -> tuple[float, int]:
    """W1 on hours built from minutes, filled at the open of the next minute."""
    a12, a26 = 2.0 / 13.0, 2.0 / 27.0
    cash, quantity, fills, hours = _CASH, 0.0, 0, 0
    fast = slow = 0.0
    want = False
    for i in range(len(candles)):
        price = candles[i].open
        if want and quantity == 0.0:
            cost = price * (1.0 + _SLIP)
            quantity = _SHARE * cash / (cost * (1.0 + _FEE))
            cash -= quantity * cost * (1.0 + _FEE)
            fills += 1
        elif not want and quantity > 0.0:
            cash += quantity * price * (1.0 - _SLIP) * (1.0 - _FEE)
            quantity = 0.0
            fills += 1
        if (candles[i].open_ms + 60_000) % 3_600_000 == 0:
            close = candles[i].close
            if hours == 0:
                fast = slow = close
            fast += a12 * (close - fast)
            slow += a26 * (close - slow)
            want = hours >= 26 and fast > slow
            hours += 1
    return cash + quantity * candles[len(candles) - 1].close, fills
