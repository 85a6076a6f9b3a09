"""The page of idioms as a user copies it: every class trades, in any batching and through a restart, and knows no tomorrow."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from papertape.engine import Engine, EngineSpec, Market, Settings
from papertape.engine.features import split_request
from papertape.engine.features.own.names import request_texts
from papertape.engine.jit import Rows
from papertape.engine.strategies.compiled.entry import is_compiled
from papertape.replay.front.research import prove
from papertape.replay.importers.sample import sample_tape
from papertape.replay.tapes.store import Tape
from tests.support.helpers import interleave, random_candles

PAGE = Path(__file__).parents[1] / "deploy" / "docs" / "idioms.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.M | re.S)
N_CANDLES = 6_000


@pytest.fixture(scope="module")
def idioms() -> ModuleType:
    """Return the page's program as a module of its own."""
    module = ModuleType("idioms")
    sys.modules["idioms"] = module
    exec("\n\n".join(BLOCKS), module.__dict__)  # noqa: S102
    return module


# The last class of a block is its strategy; before it may stand an indicator.
NAMES = [re.findall(r"^class (\w+)", block, re.M)[-1] for block in BLOCKS[1:]]
IN_PYTHON = [name for name in NAMES if not name.endswith("Kernel")]
# A kernel has its text's digest in every batching; those with all there is to hooks, another symbol, a feature of one's own.
PROVEN = [*IN_PYTHON, "ThreeTargetsKernel", "PairOfSymbolsKernel", "OwnIndicatorKernel"]


@pytest.fixture(scope="module")
def candles() -> Rows:
    """Return embedded hours."""
    return sample_tape().candles[:N_CANDLES].copy()


def symbols_of(kind: type[Any]) -> tuple[str, ...]:
    """Return what an idiom is tried on: one symbol, or two where it reads another one."""
    is_pair = any(split_request(request).symbol for request in request_texts(kind().features))
    return ("BTCUSDT", "ETHUSDT") if is_pair else ("BTCUSDT",)


def tapes_of(kind: type[Any], candles: Rows) -> list[Rows]:
    """Return the candles of its symbols."""
    other = random_candles(len(candles), seed=7)
    other["open_ms"] = candles["open_ms"]
    return [candles, other][: len(symbols_of(kind))]


def engine_of(kind: type[Any]) -> Engine:
    traits: dict[str, Any] = {"is_perpetual": True, "tick_size": 0.1, "lot_size": 0.001}
    markets = [Market(symbol, **traits) for symbol in symbols_of(kind)]
    settings = Settings(sizing="fraction", fixed_fraction=0.5, leverage_cap=2.0)
    return Engine(EngineSpec(markets, kind(), "1h", "1h", settings=settings))


def test_the_page_has_its_idioms_each_in_a_dozen_lines() -> None:
    assert len(IN_PYTHON) >= 10
    assert [name for each in IN_PYTHON for name in (each, f"{each}Kernel")] == NAMES
    for block in BLOCKS[1:]:
        assert block.startswith("class ")
        assert len([line for line in block.splitlines() if line.strip()]) <= 13, block


@pytest.mark.parametrize("name", NAMES)
def test_an_idiom_trades_the_same_in_any_batching_and_through_a_restart(
    name: str, idioms: ModuleType, candles: Rows
) -> None:
    kind = getattr(idioms, name)
    candles = interleave(tapes_of(kind, candles))
    whole = engine_of(kind)
    report = whole.step(candles)
    assert not report.faults, report.faults[0]
    assert len(report.trades) >= 3

    pieces = engine_of(kind)
    for start in range(0, len(candles), 7):
        pieces.step(candles[start : start + 7])
    assert pieces.digest == whole.digest

    first = engine_of(kind)
    # Behind the first of two candles of an instant, where there are two.
    place = int(np.searchsorted(candles["open_ms"], report.fills["candle_ms"][7])) + 1
    first.step(candles[:place])
    second = engine_of(kind)
    second.restore(first.snapshot())
    second.step(candles[place:])
    assert second.digest == whole.digest


@pytest.mark.parametrize("name", IN_PYTHON)
def test_a_kernel_is_its_text_in_python(name: str, idioms: ModuleType, candles: Rows) -> None:
    candles = interleave(tapes_of(getattr(idioms, name), candles))
    python, compiled = (engine_of(getattr(idioms, each)) for each in (name, f"{name}Kernel"))

    expected = python.step(candles).orders
    report = compiled.step(candles)

    assert is_compiled(compiled.spec.strategy)
    assert compiled.digest == python.digest
    assert report.orders.tobytes() == expected.tobytes()


@pytest.mark.slow
@pytest.mark.parametrize("name", PROVEN)
def test_an_idiom_knows_no_tomorrow(name: str, idioms: ModuleType, candles: Rows) -> None:
    kind = getattr(idioms, name)
    tapes = zip(symbols_of(kind), tapes_of(kind, candles), strict=True)
    data = [Tape(rows, "binance-usdm", symbol, "1h") for symbol, rows in tapes]
    proof = prove(strategy=kind, data=data, candles=1_000, cuts=6, progress=False)
    assert proof.reads == ()
    assert proof.leak is None
