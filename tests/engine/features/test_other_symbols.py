"""Another symbol's features, joined by what was known at each close: values by hand, then whatever must not matter."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from papertape.engine.candles import FLAG_ABSENT, HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import NewModel
from papertape.engine.features import evaluate
from papertape.engine.jit import Rows
from papertape.engine.model import ModelRecord, write_artefact
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.replay.feed import ReplayFeed
from papertape.replay.learning.dataset import dataset_of
from tests.support.helpers import FREE, START_MS, interleave, make_candles, random_candles, run_all
from tests.support.own_features import FEATURES as THEIRS
from tests.support.own_features import by_hand
from tests.support.pair import Pair

NAN = math.nan
SWAP = "BTC/USDT:USDT"  # as ccxt names a perpetual
BATCHES = (1, 7, 64, 100_000)


class Look:
    """Write down what is seen at every close of one symbol."""

    history_bars = 3

    def __init__(self, symbol: str, features: Sequence[str], seen: Callable[[Any], None]) -> None:
        self.symbol, self.features, self.seen = symbol, tuple(features), seen

    def decide(self, view: Any) -> None:
        if view.symbol == self.symbol:
            self.seen(view)


def spec_of(strategy: Any, names: Sequence[str], timeframe: str, base: str) -> EngineSpec:
    markets = [Market(name, is_perpetual=True, **FREE) for name in names]
    return EngineSpec(markets, strategy, timeframe, base, settings=Settings("fraction"))


def engine_of(strategy: Any, names: Sequence[str], timeframe: str = "1h", base: str = "1h") -> Engine:
    return Engine(spec_of(strategy, names, timeframe, base))


def flat_candles(closes: Sequence[float], timeframe: str = "1h") -> Rows:
    """Return candles that open, reach and end at their close, volume ten times it; NaN: absent."""
    candles = make_candles([(1.0, 1.0, 1.0, 1.0)] * len(closes), timeframe)
    last = 1.0
    for row, close in zip(candles, closes, strict=True):
        is_absent = math.isnan(close)
        last = last if is_absent else close
        for name in ("open", "high", "low", "close"):
            row[name] = last
        row["volume"] = 0.0 if is_absent else 10.0 * last
        row["flag_bits"] = FLAG_ABSENT if is_absent else 0
    return candles


def seen(
    asking: str,
    requests: Sequence[str],
    tapes: dict[str, Rows],
    batch: int = 100_000,
    timeframe: str = "1h",
    base: str = "1h",
) -> dict[str, list[float]]:
    """Return what one symbol sees of each request at its closes, replayed in batches of so many instants."""
    found: dict[str, list[float]] = {request: [] for request in requests}

    def look(view: Any) -> None:
        for request in requests:
            found[request].append(view[request])

    names = sorted(tapes)
    engine = engine_of(Look(asking, requests, look), names, timeframe, base)
    base_ms = engine.base_ms
    feed = ReplayFeed([tapes[name] for name in names], base_ms, batch_rows=batch * len(names))
    for event in feed.events():
        assert not getattr(engine.step(event), "faults", ())
    return found


#                       at hour:   1     2     3     4     5     6     7     8
OTHER = flat_candles([10.0, 20.0, NAN, 40.0, 50.0, 60.0, NAN, NAN])
OWN = flat_candles([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
BY_HAND = {
    # Its candle of the same hour; nothing where that is absent.
    "{}:close": [10, 20, NAN, 40, 50, 60, NAN, NAN],
    "{}:volume": [100, 200, NAN, 400, 500, 600, NAN, NAN],
    # The mean of two closes; an absent candle counts with the price before it, as everywhere: (20 + 40) ÷ 2 at hour 4.
    "{}:sma_2": [NAN, 15, NAN, 30, 45, 55, NAN, NAN],
    # Of candles of two hours: 20 from hour 2, 40 from 4, 60 from 6; the one that ends at 8 is absent as a whole.
    "{}:close@2h": [NAN, 20, 20, 40, 40, 60, 60, NAN],
    "{}:open@2h": [NAN, 10, 10, 40, 40, 50, 50, NAN],
    # Our own, as it was.
    "close@2h": [NAN, 2, 2, 4, 4, 6, 6, 8],
    "close": [1, 2, 3, 4, 5, 6, 7, 8],
}


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize(("own", "other"), [("B", "A"), ("A", "B"), ("ETHUSDT", SWAP)])
def test_what_is_joined_is_what_was_known_at_that_close(own: str, other: str, batch: int) -> None:
    expected = {name.format(other): values for name, values in BY_HAND.items()}

    found = seen(own, list(expected), {own: OWN, other: OTHER}, batch)

    for request, values in expected.items():
        np.testing.assert_array_equal(found[request], values, err_msg=request)


def test_a_symbol_may_ask_for_itself_by_name() -> None:
    found = seen("A", ["A:rsi_14", "rsi_14"], {"A": random_candles(60), "B": random_candles(60)})

    np.testing.assert_array_equal(found["A:rsi_14"], found["rsi_14"])


@pytest.mark.parametrize("batch", BATCHES)
def test_the_longer_candle_of_another_symbol_on_a_finer_base(batch: int) -> None:
    """Base 15m, strategy 1h, the other's 4h: by `evaluate` over candles that pandas gathers."""
    tapes = {"A": random_candles(3_000, 1, "15m"), "B": random_candles(3_000, 2, "15m")}

    found = seen("B", ["A:rsi_14@4h"], tapes, batch, "1h", "15m")["A:rsi_14@4h"]

    closes = tapes["A"]["close"][15::16]  # the last quarter of every four hours
    long = make_candles([(c, c, c, c) for c in closes.tolist()], "4h")
    rsi = evaluate("rsi_14", long)[0]
    # The close of hour h (from 1) knows the four hours that ended at or before it.
    expected = [rsi[h // 4 - 1] if h >= 4 else NAN for h in range(1, 751)]
    np.testing.assert_array_equal(found, expected)


def listed_tapes() -> dict[str, Rows]:
    """Return a tape that begins ten hours late and ends five hours early beside a whole one."""
    return {"A": random_candles(40, 1), "B": random_candles(40, 2)[10:35]}


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_nothing_is_known_before_a_listing_and_after_a_delisting(batch: int) -> None:
    tapes = listed_tapes()

    found = seen("A", ["B:close", "B:sma_3", "B:close@4h"], tapes, batch)

    closes = tapes["B"]["close"].tolist()
    assert len(closes) == 25
    np.testing.assert_array_equal(found["B:close"], [NAN] * 10 + closes + [NAN] * 5)
    means = evaluate("sma_3", tapes["B"])[0].tolist()  # its own first candles warm it up
    np.testing.assert_array_equal(found["B:sma_3"], [NAN] * 10 + means + [NAN] * 5)
    # Four hours end at hours 4, 8, 12 …; B's first candle closes at hour 11, its last at 35. The candle that ends at 36
    # holds what traded until 35; the one that ends at 40 holds nothing.
    hours = {
        12: closes[1],
        16: closes[5],
        20: closes[9],
        24: closes[13],
        28: closes[17],
        32: closes[21],
        36: closes[24],
    }
    expected = [hours.get(hour // 4 * 4, NAN) if hour < 40 else NAN for hour in range(1, 41)]
    np.testing.assert_array_equal(found["B:close@4h"], expected)


def test_history_of_another_symbol_is_what_was_joined() -> None:
    found: list[list[float]] = []
    look = Look("B", ("A:close",), lambda view: found.append(view.history("A:close", 3).tolist()))

    run_all(engine_of(look, "AB"), interleave([OTHER, OWN]))

    joined = [10, 20, NAN, 40, 50, 60, NAN, NAN]
    assert len(found) == 8
    for at, values in enumerate(found):
        np.testing.assert_array_equal(values, joined[max(0, at - 2) : at + 1])


def thin(candles: Rows, every: int) -> Rows:
    """Return a tape that lacks every so many-th candle, and a stretch."""
    kept = np.arange(len(candles)) % every != 0
    kept[60:80] = False
    kept[[0, -1]] = True
    return np.ascontiguousarray(candles[kept])


def traded(
    names: Sequence[str], tapes: dict[str, Rows], other: str, batch: int
) -> tuple[str, bytes, list[Any]]:
    """Return digest, snapshot and what was filled, with names in place of numbers."""
    engine = engine_of(Pair(other), names, "1h", "15m")
    order = sorted(names)
    feed = ReplayFeed([tapes[name] for name in order], engine.base_ms, batch_rows=batch * len(names))
    fills = [
        (order[int(row["symbol"])], *row[["candle_ms", "side", "price", "quantity", "cash"]].tolist())
        for event in feed.events()
        for row in engine.step(event).fills
    ]
    return engine.digest, engine.snapshot(), fills


PAIR = {
    "AAA": random_candles(1_200, 3, "15m"),
    "BBB": thin(random_candles(1_200, 4, "15m"), 6)[150:],
    "CCC": random_candles(1_200, 5, "15m")[:1_000],
}


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batch_size_changes_nothing(batch: int) -> None:
    whole = traded(list(PAIR), PAIR, "BBB", 100_000)
    assert len(whole[2]) > 20

    assert traded(list(PAIR), PAIR, "BBB", batch) == whole


def test_a_restart_at_any_candle_changes_nothing() -> None:
    engine, again = (engine_of(Pair("BBB"), list(PAIR), "1h", "15m") for _ in range(2))
    short = {name: tape[tape["open_ms"] < START_MS + 110 * HOUR_MS] for name, tape in PAIR.items()}
    events = list(ReplayFeed(list(short.values()), engine.base_ms, batch_rows=3).events())
    assert len(events) >= 440
    for event in events:
        engine.step(event)
        again.step(event)
        fresh = engine_of(Pair("BBB"), list(PAIR), "1h", "15m")
        fresh.restore(again.snapshot())
        again = fresh
    assert again.digest == engine.digest
    assert again.snapshot() == engine.snapshot()
    assert engine.account[0].sequence > 10


@pytest.mark.parametrize(
    "names", [("ZZZ", "MMM", "AAA"), ("X/Y:Y", SWAP, "A@B")], ids=["reordered", "with colons"]
)
def test_other_names_and_another_order_give_the_same_fills(names: tuple[str, ...]) -> None:
    renamed = dict(zip(PAIR, names, strict=True))
    plain = traded(list(PAIR), PAIR, "BBB", 64)[2]

    other = traded(
        list(renamed.values())[::-1], {renamed[name]: tape for name, tape in PAIR.items()}, renamed["BBB"], 64
    )[2]

    assert sorted((renamed[fill[0]], *fill[1:-1]) for fill in plain) == sorted(fill[:-1] for fill in other)
    assert plain[-1][-1] == other[-1][-1]  # the cash at the end


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (("BTCUSD:rsi_14",), "BTCUSD is not among the symbols of this run: did you mean 'BTCUSDT'"),
        (("XRP:close@4h",), "XRP is not among the symbols of this run: choose one of BTCUSDT, ETHUSDT"),
        (("BTCUSDT:rsi_14@7m",), "'BTCUSDT:rsi_14@7m': unknown timeframe '7m'"),
        (("BTCUSDT:rsj_14",), "unknown feature 'rsj_14': did you mean 'rsi'"),
    ],
)
def test_what_cannot_be_joined_is_refused(features: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        engine_of(Look("ETHUSDT", features, print), ("ETHUSDT", "BTCUSDT"))


def test_the_own_timeframe_may_be_named() -> None:
    """`rsi_14@1h` beside `rsi_14` on 1h is one lane row under two names, not a row too many."""
    found = seen("A", ["rsi_14", "rsi_14@1h", "sma_3"], {"A": random_candles(50)})

    np.testing.assert_array_equal(found["rsi_14"], found["rsi_14@1h"])
    np.testing.assert_array_equal(found["sma_3"], evaluate("sma_3", random_candles(50))[0])


@pytest.mark.parametrize("batch", [1, 64])
def test_a_feature_of_ones_own_is_read_of_another_symbol(batch: int) -> None:
    tapes = {"A": random_candles(120, 1), "B": random_candles(120, 2)}
    requests = ["A:wilder", "A:efficiency", "A:stretch@2h"]
    found: dict[str, list[float]] = {request: [] for request in requests}

    def look(view: Any) -> None:
        for request in requests:
            found[request].append(view[request])

    strategy = Look("B", (), look)
    strategy.features = (*THEIRS, *requests)  # type: ignore[assignment]
    run_all(engine_of(strategy, "AB"), interleave(list(tapes.values())), 2 * batch)

    close = tapes["A"]["close"]
    np.testing.assert_allclose(found["A:wilder"], by_hand(close)["wilder"], rtol=1e-12)
    np.testing.assert_allclose(found["A:efficiency"], by_hand(close)["efficiency"], rtol=1e-12)
    longer = by_hand(close[1::2])["stretch"]  # the candles that end at even hours
    expected = [NAN, *np.repeat(longer, 2)[:119]]
    np.testing.assert_allclose(found["A:stretch@2h"], expected, rtol=1e-9)


def test_a_model_reads_another_symbol_as_it_learned_it() -> None:
    """Its inputs in the engine are the rows of the training set, absent and unlisted candles of the other included."""
    features = ("log_return_1", "BBB:rsi_4@4h", "BBB:close")
    names, tapes = list(PAIR), list(PAIR.values())
    markets = [Market(name, is_perpetual=True) for name in names]
    spec = EngineSpec(markets, Pair("BBB"), "1h", "15m", model_features=features)
    record = ModelRecord("logistic", features, "1h", 4)
    n = len(record.inputs)
    tensors = {
        "mean": np.zeros((1, n)),
        "scale": np.full((1, n), 100.0),
        "coefficients": np.ones(n),
        "intercept": np.zeros(1),
        "temperature": np.ones(1),
    }

    rows = dataset_of(names, tapes, "15m", "1h", features)

    for batch in (1, 7, 100_000):
        engine = Engine(spec)
        engine.step(NewModel(1, write_artefact(record, tensors)))
        feed = ReplayFeed(tapes, engine.base_ms, batch_rows=batch * len(names))
        told = np.concatenate([engine.step(event).predictions for event in feed.events()])
        for place in range(3):
            mine = told[told["symbol"] == place]
            at = np.searchsorted(rows.time_ms, mine["time_ms"])
            x = rows.x[place, at]
            np.testing.assert_allclose(
                mine["probability"], 1.0 / (1.0 + np.exp(-x.sum(axis=1) / 100.0)), rtol=1e-9
            )
            assert np.isfinite(mine["probability"]).sum() > 50
            assert np.isnan(mine["probability"]).sum() > 10


def test_a_snapshot_of_other_features_is_refused() -> None:
    """The same class may have been edited since: a lane more is no state of the engine that was saved."""
    tapes = interleave([random_candles(30, 1), random_candles(30, 2)])
    engine = engine_of(Look("B", ("rsi_14",), print), "AB")
    engine.step(tapes)

    for features in (("rsi_14", "rsi_14@4h"), ("rsi_14", "A:rsi_3@2h"), ("rsi_14", "A:rsi_3")):
        with pytest.raises(DataError, match="snapshot: "):
            engine_of(Look("B", features, print), "AB").restore(engine.snapshot())
