"""The page on strategies: every example is a strategy that trades on the embedded hours, and every command prints what is shown."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from papertape import backtest
from papertape.engine.features import split_request
from papertape.engine.features.own.names import request_texts
from papertape.engine.strategies import STRATEGIES
from papertape.replay.importers.sample import sample_tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside
from tests.support.shown import BLOCK, check_page

PAGE = Path(__file__).resolve().parents[1] / "deploy" / "docs" / "strategies.md"
BLOCKS = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
LED = synthesize("regimes", 35_000, "1h", symbol="ETHUSDT")
FILES = {body.split("\n")[0][2:]: body for kind, body in BLOCKS if kind == "python"}


def loaded(name: str, folder: Path) -> ModuleType:
    path = folder / name
    path.write_text(FILES[name], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FILES)
def test_every_example_trades(name: str, tmp_path: Path) -> None:
    assert name.removesuffix(".py") not in STRATEGIES
    module = loaded(name, tmp_path)
    kinds = [found for found in vars(module).values() if hasattr(found, "decide")]
    assert kinds

    for kind in kinds:
        reads = {split_request(feature).symbol for feature in request_texts(kind().features)} - {""}
        result = backtest(
            tapes=[sample_tape(), LED] if reads else [sample_tape()],
            start="2023-01-01",
            timeframe="4h",
            strategy=kind,
            use_ml=False,
            report={"sensitivity": False, "random_draws": 0},
        )

        assert len(result.trades) > 3


@pytest.mark.slow
def test_commands_print_what_is_shown(tmp_path: Path, inside: Inside) -> None:
    for name, body in FILES.items():
        (tmp_path / name).write_text(body, encoding="utf-8")
    assert check_page(PAGE, inside, tmp_path)
