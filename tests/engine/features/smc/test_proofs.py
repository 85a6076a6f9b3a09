"""
What must hold for every concept: said once and never changed, in any batching, restarted anywhere, blind to the future.

Small sizes make every kind of event occur on short tapes, which the first test checks; so each proof is about all kinds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from papertape.engine.features.smc import EVENT, KIND_NAMES, SmartMoney
from papertape.engine.features.smc.events import GAP_EXPIRED
from papertape.engine.jit import Rows
from tests.support.helpers import make_candles, random_candles

ROOT = Path(__file__).resolve().parents[4]
SMALL = {
    "swing_bars": 8,
    "internal_bars": 3,
    "equal_bars": 2,
    "long_atr_bars": 20,
    "equal_atr": 0.3,
    "pool_atr": 0.5,
    "gap_age_bars": 50,
    "inverse_age_bars": 30,
    "higher_swing_bars": 3,
    "higher_internal_bars": 2,
    "higher_ms": 4 * 900_000,
}
PRICES = ("open", "high", "low", "close")


def gapped(n: int, seed: int) -> Rows:
    """Return a tape from which a third of the candles is missing, one stretch of two days among them."""
    candles = random_candles(n, seed, "15m")
    keep = np.random.default_rng(seed).random(n) > 0.3
    keep[n // 2 : n // 2 + 192] = False
    return candles[keep].copy()


def off_grid(n: int, seed: int) -> Rows:
    """Return a tape whose stamps are seven seconds late, and every ninth even more."""
    candles = random_candles(n, seed, "15m")
    candles["open_ms"] += 7_000
    candles["open_ms"][::9] += 61_001
    return candles


def crash(n: int, seed: int) -> Rows:
    """Return a tape with one candle that loses 99 %, from which prices go on."""
    candles = random_candles(n, seed, "15m")
    for name in PRICES:
        candles[name][n // 2 :] /= 100.0
    candles["open"][n // 2] *= 100.0
    candles["high"][n // 2] = max(candles["open"][n // 2], candles["high"][n // 2])
    return candles


TAPES = {
    "random": lambda: random_candles(3_000, 21, "15m"),
    "ties": lambda: random_candles(1_500, 22, "15m", tick=0.5),
    "coarse ties": lambda: random_candles(1_500, 23, "15m", tick=2.0),
    "constant": lambda: make_candles([(100.0, 100.0, 100.0, 100.0)] * 300, "15m"),
    "one candle": lambda: random_candles(1, 24, "15m"),
    "no candle": lambda: random_candles(2, 24, "15m")[:0],
    "crash": lambda: crash(1_500, 25),
    "gapped": lambda: gapped(2_000, 26),
    "off the grid": lambda: off_grid(1_500, 27),
}


def events_of(candles: Rows, **parameters: float) -> Rows:
    return SmartMoney("15m", **{**SMALL, **parameters}).update(candles)


def as_words(events: Rows) -> list[bytes]:
    """Return each event's bytes."""
    size = EVENT.itemsize
    data = events.tobytes()
    return [data[i : i + size] for i in range(0, len(data), size)]


def test_every_kind_of_event_is_said_on_the_random_tape() -> None:
    events = events_of(TAPES["random"]())

    assert {KIND_NAMES[kind] for kind in events["kind"].tolist()} == set(KIND_NAMES.values())


@pytest.mark.parametrize("name", TAPES)
def test_events_are_numbered_in_order_and_never_precede_what_they_are_about(name: str) -> None:
    candles = TAPES[name]()
    events = events_of(candles)

    assert events["sequence"].tolist() == list(range(len(events)))
    assert (np.diff(events["known_bar"]) >= 0).all()
    assert (events["known_ms"] == candles["open_ms"][events["known_bar"]] + 900_000).all()
    own = events[events["scale"] != 3]
    assert (own["bar"] <= own["known_bar"]).all()
    assert (own["reference"] <= own["known_bar"]).all()
    assert (own["formed_ms"] == candles["open_ms"][own["bar"]]).all()
    assert (events["formed_ms"] < events["known_ms"]).all()
    assert not np.isinf(events["strength"]).any()


@pytest.mark.parametrize("name", TAPES)
def test_events_of_a_prefix_are_those_known_by_then(name: str) -> None:
    candles = TAPES[name]()
    whole = events_of(candles)

    for cut in sorted({0, 1, 2, 3, 50, 333, len(candles) // 2 + 1, len(candles) - 1}):
        if 0 <= cut <= len(candles):
            known = whole[whole["known_bar"] < cut]
            assert events_of(candles[:cut]).tobytes() == known.tobytes()


@pytest.mark.parametrize("name", TAPES)
@pytest.mark.parametrize("batch", [1, 7, 64])
def test_any_batching_says_the_same(name: str, batch: int) -> None:
    candles = TAPES[name]()
    market = SmartMoney("15m", **SMALL)

    parts = [market.update(candles[i : i + batch]) for i in range(0, len(candles), batch)]

    assert b"".join(part.tobytes() for part in parts) == events_of(candles).tobytes()


@settings(max_examples=25, deadline=None)
@given(cut=st.integers(0, 1_500), name=st.sampled_from(["ties", "gapped", "crash", "off the grid"]))
def test_a_restart_at_any_candle_says_the_same(cut: int, name: str) -> None:
    candles = TAPES[name]()
    before, after = SmartMoney("15m", **SMALL), SmartMoney("15m", **SMALL)

    first = before.update(candles[:cut])
    after.load(before.save())
    second = after.update(candles[cut:])

    assert first.tobytes() + second.tobytes() == events_of(candles).tobytes()
    before.update(candles[cut:])
    assert before.save() == after.save()


@settings(max_examples=25, deadline=None)
@given(k=st.integers(0, 1_499), seed=st.integers(0, 10_000))
def test_a_scrambled_future_changes_nothing_that_was_known(k: int, seed: int) -> None:
    candles = TAPES["ties"]()
    scrambled = candles.copy()
    scrambled[k:] = random_candles(1_500, seed, "15m", tick=0.5)[k:]
    whole, other = events_of(candles), events_of(scrambled)

    known, still = whole[whole["known_bar"] < k], other[other["known_bar"] < k]

    assert known.tobytes() == still.tobytes()


@pytest.mark.parametrize("name", ["random", "ties", "crash", "gapped"])
def test_dearer_prices_say_the_same_at_dearer_levels(name: str) -> None:
    candles = TAPES[name]()
    dearer = candles.copy()
    for price in PRICES:
        dearer[price] *= 4.0  # a power of two: the same digits

    want, found = events_of(candles), events_of(dearer)

    for price in ("top", "bottom", "level"):
        want[price] *= 4.0
    assert as_words(found) == as_words(want)


SWAPPED_KINDS = {"EQH": "EQL", "EQL": "EQH"}
SWAPPED_TAGS = {1: 4, 4: 1, 2: 3, 3: 2}  # HH ↔ LL, LH ↔ HL


def without_outside_candles(candles: Rows) -> Rows:
    """
    Return candles of which none is a high and a low at once.

    Such a candle is a pivot high by definition (the high is asked first), which a mirror cannot swap. The next candle is
    made to reach its high, so that it is no pivot high.
    """
    candles = candles.copy()
    for p in range(len(candles) - 2):
        later = candles[p + 1 : p + 3]
        if later["high"].max() < candles["high"][p] and later["low"].min() > candles["low"][p]:
            candles["high"][p + 1] = candles["high"][p]
    return candles


def mirror(candles: Rows) -> Rows:
    turned = candles.copy()
    turned["open"], turned["close"] = -candles["open"], -candles["close"]
    turned["high"], turned["low"] = -candles["low"], -candles["high"]
    return turned


def comparable(events: Rows, is_mirrored: bool) -> list[tuple[object, ...]]:
    """
    Return events of the tape's own timeframe in an order that does not depend on which side was looked at first.

    The first leg counts as down by definition, in a mirror too, so what goes back to the first 100 candles is left out.
    """
    sign = -1 if is_mirrored else 1
    found = []
    late = (events["known_bar"] >= 500) & (events["bar"] >= 100)
    late &= (events["reference"] == -1) | (events["reference"] >= 100)
    for event in events[late & (events["scale"] != 3)]:
        kind, tag = KIND_NAMES[int(event["kind"])], int(event["tag"])
        top, bottom = float(event["top"]), float(event["bottom"])
        if is_mirrored:
            kind, tag = SWAPPED_KINDS.get(kind, kind), SWAPPED_TAGS.get(tag, tag)
            top, bottom = -bottom, -top
        numbers = (top, bottom, sign * float(event["level"]), float(event["strength"]))
        places = tuple(int(event[name]) for name in ("known_bar", "bar", "reference", "scale"))
        side = sign * int(event["side"])
        found.append((*places, kind, side, tag, *(f"{x + 0.0:.17g}" for x in numbers)))
    return sorted(found)


@pytest.mark.parametrize(("seed", "tick"), [(31, 0.01), (32, 0.5), (33, 2.0)])
def test_prices_upside_down_swap_bull_and_bear(seed: int, tick: float) -> None:
    candles = without_outside_candles(random_candles(2_000, seed, "15m", tick=tick))

    want = comparable(events_of(candles), is_mirrored=True)
    found = comparable(events_of(mirror(candles)), is_mirrored=False)

    assert found == want


def test_compiled_and_plain_python_say_the_same(tmp_path: Path) -> None:
    candles = random_candles(400, 41, "15m", tick=0.5)
    np.save(tmp_path / "candles.npy", np.frombuffer(candles.tobytes(), np.uint8))
    program = (
        "import sys, json, numpy as np\n"
        "from papertape.engine.candles import CANDLE\n"
        "from papertape.engine.features.smc import SmartMoney\n"
        "candles = np.frombuffer(bytearray(np.load(sys.argv[1]).tobytes()), CANDLE)\n"
        "events = SmartMoney('15m', **json.loads(sys.argv[3])).update(candles)\n"
        "np.save(sys.argv[2], np.frombuffer(events.tobytes(), np.uint8))\n"
    )
    out = tmp_path / "plain.npy"
    command = [sys.executable, "-W", "error", "-c", program, str(tmp_path / "candles.npy"), str(out)]
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}

    subprocess.run([*command, json.dumps(SMALL)], check=True, cwd=ROOT, env=environment, timeout=120)

    events = events_of(candles)
    assert len(events) > 500
    assert np.load(out).tobytes() == events.tobytes()


def test_a_full_shelf_drops_the_oldest_and_counts_it() -> None:
    # Every third candle leaves a gap below that nothing comes back for: 200 of them, of which 128 are kept.
    rows = []
    for step in range(600):
        base = 100.0 + 2.0 * step
        rows.append((base, base + 1.0, base, base + 1.0))
    market = SmartMoney("15m", **{**SMALL, "gap_age_bars": 0, "swing_bars": 50})
    said = market.update(make_candles(rows, "15m"))
    made = int(np.count_nonzero((said["kind"] == 15) & (said["scale"] == 0)))
    last = rows[-1][3]

    fallen = market.update(make_candles([(last, last, 1.0, 1.0)], "15m"))

    filled = fallen[(fallen["kind"] == 18) & (fallen["scale"] == 0)]
    assert made == 598
    assert sorted(filled["bar"].tolist()) == list(range(598 - 128 + 1, 599))
    assert market.n_dropped >= made - 128


def test_age_limits_end_gaps_with_an_event() -> None:
    candles = TAPES["random"]()
    events = events_of(candles)

    expired = events[(events["kind"] == GAP_EXPIRED) & (events["scale"] == 0)]

    made = {
        int(e["bar"]): int(e["known_bar"]) for e in events[(events["kind"] == 15) & (events["scale"] == 0)]
    }
    assert len(expired)
    for event in expired:
        assert event["known_bar"] - made[int(event["bar"])] == 50 + 1
