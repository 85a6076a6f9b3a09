"""
Live = replay with orders that rest: through sockets and faults a strategy that uses every kind of them has the orders, the
moves of levels, the fills and the digest of a plain replay of what the exchange had.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.broker.working.orders import KIND_NAMES, MOVED, ORDER_EVENT, STATUS_NAMES
from papertape.engine.jit import Rows
from papertape.replay.backtesting.run import replay
from papertape.replay.exchange import Faults
from papertape.replay.exchange.faults import RECOVERABLE
from tests.support.streams import Scenario, halts_of, identity, journalled, streamed, tape

MINUTE_MS = 60_000
SEEDS = int(os.environ.get("PAPERTAPE_SEEDS", "120")) // 8
STRATEGY = {
    "strategy": {"name": "tests.support.every_order:EveryOrder"},
    "account": {"sizing": "risk", "risk_fraction": 0.01},
}
# Fifteen candles until the strategy knows a range, then a plan after another.
LONG = (tape("AAA", 300, 3), tape("BBB", 300, 4))
HALF = (tape("AAA", 150, 3), tape("BBB", 150, 4))
SHORT = (tape("AAA", 60, 5), tape("BBB", 60, 6))
# Half an hour until the fault, which takes four minutes at most, and eleven after it.
BRIEF = (tape("AAA", 46, 5), tape("BBB", 46, 6))
WAYS = [
    (protocol, candles, 2 * ((is_legacy + number) % 2))
    for number, candles in enumerate(("stream", "trades", "poll"))
    for is_legacy, protocol in enumerate(("compact", "legacy"))
]


def orders_in(state: Path, symbols: tuple[str, ...]) -> Rows:
    """Return what the journal says of orders, as the engine's records."""
    names = [name for name in ORDER_EVENT.names or () if name != "symbol"]
    with Journal.read(state) as journal:
        told = journal.all(f"SELECT symbol, {', '.join(names)} FROM orders ORDER BY sequence")  # noqa: S608
    rows = np.zeros(len(told), ORDER_EVENT)
    for place, (symbol, *values) in enumerate(told):
        rows[place]["symbol"] = symbols.index(symbol)
        for name, value in zip(names, values, strict=True):
            rows[place][name] = value
    return rows


def assert_replayed(scenario: Scenario, state: Path, *, is_true: bool = True) -> Rows:
    """
    Stream a scenario, compare its orders and its digest with those of a replay, and return them.

    is_true  every candle is the tape's; otherwise what was traded on is replayed: a mixture may hold history back for good
    """
    daemon = streamed(scenario, state)

    found = journalled(state)
    split = [found[found["symbol"] == number] for number in range(len(scenario.tapes))]
    tapes = [one.candles[scenario.start :] for one in scenario.tapes]
    run = replay(identity(scenario, state).spec, tapes if is_true else split, events=halts_of(state))
    assert daemon.engine.digest == run.engine.digest
    assert daemon.engine.snapshot() == run.engine.snapshot()
    orders = orders_in(state, run.engine.symbols)
    assert orders.tobytes() == run.recorder.orders.tobytes()
    assert verify_state(state, trust_code=True).is_equal
    return orders


def test_every_order_through_sockets(tmp_path: Path) -> None:
    assert len(assert_replayed(Scenario(SHORT, features=(), sections=STRATEGY), tmp_path)) > 50


@pytest.mark.slow
def test_hours_of_every_order_through_sockets(tmp_path: Path) -> None:
    orders = assert_replayed(Scenario(LONG, features=(), sections=STRATEGY), tmp_path)

    assert set(orders["kind"][orders["number"] > 0]) == set(KIND_NAMES)
    assert set(orders["status"]) == set(STATUS_NAMES)
    assert np.count_nonzero((orders["status"] == MOVED) & (orders["number"] == 0)) > 5


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "candles", "latency"), WAYS)
def test_every_order_by_every_protocol_and_with_latency(
    protocol: str, candles: str, latency: int, tmp_path: Path
) -> None:
    """
    Latency is the engine's, which sees of protocol and source no more than which candles come together: each of those has both.
    """
    account = {**STRATEGY["account"], "latency_bars": latency, "volume_share": 0.5}
    sections = {**STRATEGY, "account": account}
    scenario = Scenario(HALF, protocol=protocol, candles=candles, features=(), sections=sections)

    assert len(assert_replayed(scenario, tmp_path)) > 100


EACH = [pytest.param(kind, marks=[] if kind == "abort" else [pytest.mark.slow]) for kind in RECOVERABLE]


@pytest.mark.parametrize("kind", EACH)
def test_every_order_through_one_fault_of_every_kind(kind: str, tmp_path: Path) -> None:
    """After half an hour, when orders rest; BY_SYMBOL faults concern the first market."""
    faults = Faults.single(kind, 30 * MINUTE_MS + 5_000)
    scenario = Scenario(BRIEF, features=(), sections=STRATEGY, faults=faults)

    assert len(assert_replayed(scenario, tmp_path)) > 20


@pytest.mark.parametrize(
    "seed", [*range(2), *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, max(SEEDS, 3)))]
)
def test_every_order_through_a_mixture_of_faults(seed: int, tmp_path: Path) -> None:
    """Faults from the first candle to the last but a few, those of the minutes in which orders rest among them."""
    faults = Faults.seeded(seed, 15 * MINUTE_MS, 52 * MINUTE_MS, symbols=("AAA", "BBB"))
    scenario = Scenario(SHORT, features=(), sections=STRATEGY, faults=faults, seed=seed)

    assert len(assert_replayed(scenario, tmp_path, is_true=False)) > 20
