"""The engine's edge: what it refuses and leaves unchanged, how instants are completed, and snapshots that are not its own."""

import tracemalloc
from typing import Any

import numpy as np
import pytest

from papertape.engine import ConfigError, DataError, Engine, EngineSpec, InvariantError, Market, Settings
from papertape.engine.broker.execution import execute
from papertape.engine.candles import CANDLE, FLAG_ABSENT, bucket_start, timeframe_ms
from papertape.engine.features.series import advance
from papertape.engine.jit import Rows, locked_rows
from papertape.engine.snapshot import StreamDigest
from papertape.engine.strategies import EmaCross
from tests.support.helpers import START_MS, interleave, random_candles, run_all

HOUR_MS = 3_600_000


def make_engine(*symbols: str, **options: Any) -> Engine:
    markets = [Market(symbol, is_perpetual=True) for symbol in symbols or ("X",)]
    settings = Settings("fraction", fixed_fraction=0.5)
    return Engine(EngineSpec(markets, EmaCross(3, 8), "1h", "1h", settings=settings, **options))


def broken(change: dict[str, Any], row: int = 5) -> Rows:
    candles = random_candles(10)
    for name, value in change.items():
        candles[name][row] = value
    return candles


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"close": np.nan}, "not finite"),
        ({"volume": np.inf}, "not finite"),
        ({"low": 0.0}, "not above zero"),
        ({"high": 1.0}, "high is below"),
        ({"low": 1e6, "high": 1e7}, "low is above"),
        ({"volume": -1.0}, "negative"),
        ({"open_ms": START_MS}, "not after"),
        ({"symbol": 1}, "comes next in symbol order"),
    ],
)
def test_bad_candle_is_named_and_nothing_has_changed(change: dict[str, Any], told: str) -> None:
    engine = make_engine()
    before = engine.snapshot()

    with pytest.raises(DataError, match=f"candle 5 of the batch.*{told}"):
        engine.step(broken(change))

    assert engine.snapshot() == before
    assert engine.step(random_candles(10)).candles == 10


def test_candle_before_the_last_step_is_refused() -> None:
    engine = make_engine()
    candles = random_candles(20)
    engine.step(candles[:10])

    with pytest.raises(DataError, match="not after"):
        engine.step(candles[9:])


def test_rows_of_one_instant_have_one_time() -> None:
    candles = interleave([random_candles(4), random_candles(4, 2)])
    candles["open_ms"][3] += HOUR_MS

    with pytest.raises(DataError, match="differs from the other symbols"):
        make_engine("A", "B").step(candles)


def test_an_instant_waits_for_its_last_symbol() -> None:
    candles = interleave([random_candles(5), random_candles(5, 2)])
    engine = make_engine("A", "B")

    assert len(engine.step(candles[:5]).marks) == 2  # two whole instants and a half one
    assert len(engine.step(candles[5:6]).marks) == 1
    assert len(engine.step(np.zeros(0, CANDLE)).marks) == 0


def test_other_records_are_refused() -> None:
    with pytest.raises(DataError, match="not the CANDLE record"):
        make_engine().step(np.zeros(3))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"capital": 0.0}, "capital"),
        ({"capital": 1e10}, "capital"),
        ({"extra_features": ("rsi_14@90m",)}, "unknown timeframe"),
        ({"extra_features": ("rsi_14@1m",)}, "not a multiple"),
        ({"extra_features": ("rsy_14",)}, "did you mean 'rsi'"),
    ],
)
def test_impossible_specification_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises((ConfigError, DataError), match=told):
        make_engine(**options)


def test_symbols_must_differ() -> None:
    with pytest.raises(ConfigError, match="each once"):
        make_engine("A", "A")


def test_snapshot_of_another_configuration_is_refused() -> None:
    with pytest.raises(DataError, match="another configuration"):
        make_engine().restore(make_engine(capital=5_000.0).snapshot())


def test_damaged_snapshot_is_refused_and_the_engine_unchanged() -> None:
    engine = make_engine()
    run_all(engine, random_candles(300))
    good = engine.snapshot()
    head = good.index(b"\n")
    damaged = {
        "checksum": good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
        "damaged": b"garbage" + good[head:],
        "format": good.replace(b'"format": 1', b'"format": 9', 1),
    }

    for told, data in damaged.items():
        with pytest.raises(DataError, match=told):
            engine.restore(data)
    assert engine.snapshot() == good


def test_tampered_state_stops_the_engine_at_the_next_posting() -> None:
    candles = random_candles(400)
    engine = make_engine()
    engine.step(candles[:100])
    engine.account[0].cash += 1

    with pytest.raises(InvariantError, match="does not balance"):
        engine.step(candles[100:])


def test_absent_candles_move_the_clock_and_the_digest_says_so() -> None:
    candles = random_candles(400)
    absent = candles.copy()
    absent["flag_bits"][150:250] = FLAG_ABSENT

    assert run_all(make_engine(), candles).engine.digest != run_all(make_engine(), absent).engine.digest


def test_candles_that_can_be_written_run_the_code_of_those_that_cannot() -> None:
    """A tape's cannot and a feed's can: the largest kernels were compiled for each."""
    kernels: list[Any] = [advance, execute]
    counts, digests = [], []
    candles = random_candles(300)
    for rows in (locked_rows(candles), candles):
        digests.append(run_all(make_engine(), rows).engine.digest)
        counts.append([len(getattr(each, "overloads", ())) for each in kernels])

    assert counts[0] == counts[1]
    assert digests[0] == digests[1]
    assert candles.flags.writeable


def test_buffers_do_not_grow_with_the_number_of_symbols_and_no_decision_depends_on_their_length() -> None:
    names = [f"S{number:03}" for number in range(400)]
    held = []
    for n_symbols in (50, 400):
        tracemalloc.start()
        make_engine(*names[:n_symbols])
        held.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    walk = random_candles(1_500)
    parts = [walk[number : number + 1_400].copy() for number in range(80)]
    for part in parts:
        part["open_ms"] = walk["open_ms"][:1_400]
    candles = interleave(parts)

    whole, pieces, alone = (
        run_all(make_engine(*names[:80]), candles),
        run_all(make_engine(*names[:80]), candles, 999 * 80),
        run_all(make_engine(names[0]), parts[0]),
    )

    assert held[1] < 1.5 * held[0]
    assert len(whole.fills) > 0
    assert whole.engine.digest == pieces.engine.digest
    of_first = whole.decisions[whole.decisions["symbol"] == 0]
    for field in ("time_ms", "target", "stop_distance"):
        np.testing.assert_array_equal(of_first[field], alone.decisions[field])


@pytest.mark.parametrize("sizes", [(1, 7, 70_000), (65_536, 1), (70_008,)])
def test_digest_does_not_depend_on_the_pieces(sizes: tuple[int, ...]) -> None:
    data = np.arange(70_008, dtype=np.uint8)
    whole, pieces = StreamDigest(), StreamDigest()
    whole.update(data)
    start = 0
    for size in (*sizes, len(data)):
        other = StreamDigest()
        other.load(pieces.save())
        pieces = other
        pieces.update(data[start : start + size])
        start += size

    assert pieces.digest() == whole.digest()


def test_weeks_begin_on_monday_and_days_at_midnight() -> None:
    wednesday = 1_577_836_800_000  # 2020-01-01
    monday = wednesday - 2 * 86_400_000

    assert bucket_start(wednesday + 5, timeframe_ms("1w")) == monday
    assert bucket_start(wednesday + 5 * HOUR_MS, timeframe_ms("1d")) == wednesday
