"""What the feed's parser does in a second: frames of both generations, as they come from a socket."""

import statistics
import time
from typing import Any

from daemon.feeds.frames import parse

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
