"""A market that is read only: features of others see it, and nothing else changes by its being there."""

from typing import Any

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import NewModel
from papertape.engine.jit import Rows, join_rows
from papertape.engine.model import MODEL_FEATURES
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Confluence, Decision, EmaCross
from papertape.replay.learning.dataset import dataset_of
from tests.support.every_order import EveryOrder
from tests.support.helpers import FREE, interleave, random_candles
from tests.support.journals import model_bytes

N = 1_600
OURS = [random_candles(N, 61), random_candles(N, 62)]
READ = random_candles(N, 63)
TABLES = ("decisions", "fills", "trades", "orders", "marks", "predictions")


def outcome(
    strategy: Any, markets: list[Market], tapes: list[Rows], batch: int = 100_000
) -> dict[str, bytes]:
    """Return what a run says, symbols counted among the traded ones."""
    spec = EngineSpec(
        markets, strategy, "1h", "1h", settings=Settings("fraction"), model_features=MODEL_FEATURES
    )
    engine = Engine(spec)
    engine.step(NewModel(1, model_bytes(3)))
    rows = interleave(tapes)
    size = batch * len(markets)
    reports = [engine.step(rows[i : i + size]) for i in range(0, len(rows), size)]
    said = {}
    for name in TABLES:
        table = join_rows([getattr(report, name) for report in reports])
        if "symbol" in (table.dtype.names or ()):
            table["symbol"] = np.searchsorted(engine.traded, table["symbol"])
        said[name] = table.tobytes()
    assert not any(report.faults for report in reports)
    return said


@pytest.mark.parametrize(
    "strategy", [EmaCross(5, 12, allow_short=True), Confluence(confidence_threshold=0.2), EveryOrder()]
)
@pytest.mark.parametrize("name", ["A", "ZZZ", "BTC/USDT:USDT"])
def test_nothing_changes_by_its_being_there(strategy: Any, name: str) -> None:
    markets = [Market(symbol, is_perpetual=True) for symbol in ("ETH", "SOL")]
    alone = outcome(strategy, markets, OURS)
    places = sorted(["ETH", "SOL", name])
    tapes = {"ETH": OURS[0], "SOL": OURS[1], name: READ}

    for batch in (1, 100_000):
        beside = outcome(
            strategy, [*markets, Market(name, read_only=True)], [tapes[place] for place in places], batch
        )
        assert beside == alone

    assert len(alone["fills"]) > 1_000
    assert len(alone["predictions"]) > 1_000


class OnlyWhenRising:
    """Hold what is asked about while another symbol rises."""

    features = ("BTC:log_return_6",)

    def decide(self, view: Any) -> Decision:
        assert view.symbol != "BTC"
        return Decision(1 if view["BTC:log_return_6"] > 0.0 else 0)


def test_it_is_read_and_never_asked_about() -> None:
    markets = [Market("ETH", **FREE), Market("BTC", read_only=True)]
    engine = Engine(EngineSpec(markets, OnlyWhenRising(), "1h", "1h", settings=Settings("fraction")))

    report = engine.step(interleave([READ, OURS[0]]))

    rising = np.log(READ["close"][6:] / READ["close"][:-6]) > 0.0
    assert not report.faults
    assert set(report.fills["symbol"]) == {1}
    # An entry at each hour after one in which it began to rise.
    entries = np.flatnonzero(rising[1:] & ~rising[:-1]) + 6 + 2
    bought = report.fills["candle_ms"][report.fills["side"] > 0]
    opens = OURS[0]["open_ms"]
    expected = opens[entries[entries < N]]
    if rising[0]:
        expected = np.concatenate([opens[7:8], expected])
    np.testing.assert_array_equal(bought, expected)


def test_models_do_not_learn_from_it() -> None:
    features = ("log_return_1", "R:rsi_14")
    tapes = (OURS[0], READ, OURS[1])

    rows = dataset_of(("E", "R", "S"), tapes, "1h", "1h", features, traded=("E", "S"))

    whole = dataset_of(("E", "R", "S"), tapes, "1h", "1h", features)
    assert rows.symbols == ("E", "S")
    np.testing.assert_array_equal(rows.x, whole.x[[0, 2]])
    np.testing.assert_array_equal(rows.close, whole.close[[0, 2]])
    np.testing.assert_array_equal(rows.x[0, :, 1], whole.x[1, :, 1])  # what it says of itself


def test_something_must_be_traded() -> None:
    with pytest.raises(ConfigError, match="all read_only; leave it out where you trade"):
        EngineSpec([Market("A", read_only=True)], EmaCross(5, 12), "1h", "1h")
