"""What a live feed does in a second: frames parsed, and the share of a minute that a thousand symbols need."""

import statistics
import time
from typing import Any

import numpy as np
import orjson

from papertape.daemon.feeds.delta.messages import CandleFrame, parse
from papertape.daemon.feeds.finality.bars import Bar
from papertape.daemon.feeds.finality.finality import Finality, Rules
from papertape.daemon.feeds.finality.merge import Merge
from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows

# Composed after delta-exchange.md 3.7 to 3.9: mostly candles, as a candles-only client receives them.
FRAMES = (
    b'{"c":86420.5,"cst":1795428900000000,"h":86431.0,"l":86402.0,"o":86405.5,"res":"1m","sy":"BTCUSD",'
    b'"ts":1795428931502120,"type":"candlestick_1m","v":1842.0}',
    b'{"c":"86420.5","cst":1795428900000000,"h":"86431","l":"86402","o":"86405.5","res":"1m","sy":"ETHUSD",'
    b'"ts":1795428931502120,"type":"candlestick_1m","v":"1842"}',
    b'{"candle_start_time":1795428900000000,"close":86420.5,"high":86431,"last_updated":1795428931000000,'
    b'"low":86402,"open":86405.5,"resolution":"1m","symbol":"BTCUSD","timestamp":1795428931502120,'
    b'"type":"candlestick_1m","volume":1842}',
    b'{"p":"86420.5","r":"t","s":3.0,"sy":"BTCUSD","t":1795428901200000,"ts":1795428901461000,"type":"trades"}',
    b'{"p":"86418.22150731","sy":"MARK:BTCUSD","ts":1795428902000300,"type":"mark_price"}',
)


def parser(n: int = 200_000, runs: int = 5) -> dict[str, Any]:
    """Return messages parsed per second on one core, the median of several runs."""
    rounds = n // len(FRAMES)
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        for _ in range(rounds):
            for frame in FRAMES:
                parse(frame)
        seconds.append(time.perf_counter() - started)
    per_s = rounds * len(FRAMES) / statistics.median(seconds)
    return {
        "work": "parse a frame",
        "messages": rounds * len(FRAMES),
        "messages_per_s": per_s,
        "ns_per_message": 1e9 / per_s,
        "must": 20e3,
        "aim": 50e3,
        "is_met": per_s >= 20e3,
    }


_MINUTE_MS = 60_000
_START_MS = 1_795_428_900_000
_FRAMES_PER_MINUTE = 120  # one each 500 ms: delta-exchange.md 3.6
_TURNS = 250  # of the pump, while the history answers four requests at a time


def thousand_symbols(n_symbols: int = 1_000, minutes: int = 3) -> dict[str, Any]:
    """Return the share of a minute that parsing, finality and merge of 1m candles take on one core."""
    symbols = [f"S{i}USD" for i in range(n_symbols)]
    table, merge = Finality(symbols, Rules(_MINUTE_MS)), Merge(symbols)
    for symbol in symbols:
        table.start(symbol, _START_MS - _MINUTE_MS, 100.0)
    table.connect(_START_MS)
    table.advance(_START_MS)
    n_candles, seconds = 0, []
    for minute in range(minutes):
        open_ms = _START_MS + minute * _MINUTE_MS
        messages = [_frame(symbol, open_ms, 500) for symbol in symbols]
        rows = _rows(open_ms)
        started = time.perf_counter()
        for tick in range(_FRAMES_PER_MINUTE):
            for message in messages:
                frame = parse(message)
                assert isinstance(frame, CandleFrame)
                bar = Bar(*frame[2:7], frame.contracts * 0.001)
                table.see(frame.symbol, bar, frame.published_us + tick, open_ms + 500)
        now_ms = open_ms + _MINUTE_MS + 1_000
        wanted = table.advance(now_ms).wanted
        for turn in range(_TURNS):
            for request in wanted[turn::_TURNS]:
                table.answer(request, rows, now_ms + turn)
            for final in table.advance(now_ms + turn).finals:
                merge.put(final)
        for symbol in symbols:
            merge.passed(symbol, table.next_open_ms(symbol))
        n_candles += len(merge.rows(merge.take()))
        seconds.append(time.perf_counter() - started)
    assert n_candles == n_symbols * minutes
    share = statistics.median(seconds) / 60.0
    return {
        "work": f"{n_symbols} symbols of 1m candles",
        "messages": n_symbols * _FRAMES_PER_MINUTE,
        "candles": n_candles,
        "share_of_a_minute": share,
        "must": 1.0,
        "is_met": share < 1.0,
    }


def _frame(symbol: str, open_ms: int, after_ms: int) -> bytes:
    """Return a candle frame as the compact host sends it."""
    return orjson.dumps(
        {
            "c": 101.0,
            "cst": open_ms * 1000,
            "h": 102.0,
            "l": 99.0,
            "o": 100.0,
            "res": "1m",
            "sy": symbol,
            "ts": (open_ms + after_ms) * 1000,
            "type": "candlestick_1m",
            "v": 12.0,
        }
    )


def _rows(open_ms: int) -> Rows:
    """Return what the history says of a candle and of the one after it."""
    candle = (0, 100.0, 102.0, 99.0, 101.0, 12.0 * 0.001, 0)
    return np.array([(open_ms, *candle), (open_ms + _MINUTE_MS, *candle)], CANDLE)
