"""
A coverage-guided run over the parser: inputs that reach a new line of it are kept and mutated further.

No fuzzer is needed for a file of this size: a trace function tells the lines, a seeded generator makes the mutations.
"""

import random
import sys
from types import FrameType
from typing import Any

import pytest

from papertape.daemon.feeds.delta import fields, messages
from tests.bench.feed import FRAMES

FILES = {messages.__file__, fields.__file__}
TOKENS = [
    b"null", b"true", b"NaN", b"Infinity", b"-1", b"0", b"1e999", b'""', b'"1"', b"[]", b"{}", b"[null]", b'"candlestick_1m"',
    b'"trades"', b'"all_trades"', b'"mark_price"', b'"funding_rate"', b'"subscriptions"', b'"error"', b'"heartbeat"', b'"pong"',
    b'"system_status"', b'"product_updates"', b'"ob_l2"', b'"candlestick_1w"', b'"channels"', b'"product"', b'"symbol"', b'"sy"',
    b'"MARK:X"', b'"cst"', b'"ts"', b'"v"', b'"fr"', b'"p"', b'"name"', b'"symbols"', b"1795428900", b"1795428900000000000",
    b'{"type":"subscriptions","channels":[{"name":"a","symbols":["b",1]},3]}',
    b'{"type":"product_updates","product":{"symbol":"X"}}', b'{"type":"funding_rate","sy":"X","fr":1,"fi":-1,"nfr":"x"}',
]  # fmt: skip


def lines_of(data: bytes) -> tuple[messages.Frame, frozenset[tuple[str, int]]]:
    """Return what the parser says, and the lines that it went through."""
    seen: set[tuple[str, int]] = set()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename not in FILES:
            return None
        seen.add((frame.f_code.co_filename, frame.f_lineno))
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        return messages.parse(data), frozenset(seen)
    finally:
        sys.settrace(before)


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with a few changes: flipped, cut, repeated, or a token put in the place of a value."""
    raw = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(raw) + 1)
        match chance.randrange(5):
            case 0 if at < len(raw):
                raw[at] = chance.randrange(256)
            case 1:
                raw = raw[:at]
            case 2:
                raw[at:at] = raw[at : at + chance.randrange(20)]
            case _:
                # From the next colon to the next comma or brace: one value of the message.
                start = raw.find(b":", at) + 1
                ends = [end for end in (raw.find(b",", start), raw.find(b"}", start)) if end > 0]
                raw[start : min(ends, default=start)] = chance.choice(TOKENS)
    return bytes(raw)


@pytest.mark.parametrize("n", [3_000, pytest.param(300_000, marks=pytest.mark.slow)])
def test_guided_mutations_raise_nothing_and_reach_the_whole_parser(n: int) -> None:
    chance = random.Random(11)
    corpus = [*FRAMES, *(token for token in TOKENS if token.startswith(b'{"type"'))]
    covered = frozenset[tuple[str, int]]().union(*(lines_of(data)[1] for data in corpus))
    n_known = len(covered)

    for _ in range(n):
        data = mutated(chance.choice(corpus), chance)
        frame, lines = lines_of(data)
        assert isinstance(frame, tuple)
        if isinstance(frame, messages.CandleFrame):
            assert 0.0 < frame.low <= min(frame.open, frame.close)
            assert max(frame.open, frame.close) <= frame.high < float("inf")
            assert 0.0 <= frame.contracts <= messages.MAX_CONTRACTS
        if lines - covered:
            covered |= lines
            corpus.append(data)

    assert len(covered) > n_known
