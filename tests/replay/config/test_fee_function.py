"""A user's function for fees in configurations: looked at and not run, part of a trial, from Python, and the page that tells of it."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from papertape import backtest, sweep
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import make_config
from papertape.replay.config.user_code import check_code
from papertape.replay.research.sweep.axes import code_in, parse_axis
from papertape.replay.research.trials.identity import configuration_digest
from papertape.replay.tapes.store import Tape
from tests.support.helpers import random_candles

PAGE = Path(__file__).parents[3] / "deploy" / "docs" / "fees.md"
TAPE = Tape(random_candles(300, 5), "binance-spot", "AAAUSDT", "1h", source="made in a test")
PLAIN: dict[str, Any] = {
    "strategy": "ema_cross",
    "parameters": {"fast": 5, "slow": 20},
    "use_ml": False,
    "account": {"sizing": "fraction"},
    "report": {"random_draws": 0, "benchmarks": False, "sensitivity": False},
}
FEES = """
from pathlib import Path

Path(__file__).with_name("ran").touch()
seven = 7


def fine(notional, price, size, is_maker, rate, volume):
    return 0.5


def dear(notional, price, size, is_maker, rate, volume):
    return 1.5


def few(notional, price):
    return 0.5
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "has_fees", raising=False)
    (tmp_path / "has_fees.py").write_text(FEES)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("has_fees:fine", ""),
        ("has_fees:seven", "has_fees:seven is not a function"),
        ("has_fees:few", r"has_fees:few does not take notional, price, .* \(has_fees.py, line 16\)"),
        ("has_fees:fin", "has no 'fin': did you mean 'fine'"),
        ("no_such_module:fine", "no Python file of module 'no_such_module'"),
    ],
)
def test_it_is_checked_without_running_anything(folder: Path, path: str, told: str) -> None:
    config = make_config({"account": {"fee_function": path}})
    if told:
        with pytest.raises(ConfigError, match=f"account.fee_function: .*{told}"):
            check_code(config)
    else:
        check_code(config)
        assert configuration_digest(config) != configuration_digest(make_config({}))

    assert not (folder / "ran").exists()


@pytest.mark.parametrize("bad", ["fine", "has fees:fine", "x:y:z"])
def test_what_is_no_path_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError, match=r"account\.fee_function"):
        make_config({"account": {"fee_function": bad}})


def test_a_trial_is_another_under_another_text(folder: Path) -> None:
    config = make_config({"account": {"fee_function": "has_fees:fine"}})
    before = configuration_digest(config)
    axis = parse_axis("account.fee_function=has_fees:fine,has_fees:dear", config)

    (folder / "has_fees.py").write_text(FEES.replace("0.5", "0.25"))

    assert configuration_digest(config) != before
    assert code_in([axis]) == ["has_fees:fine", "has_fees:dear"]


@pytest.mark.usefixtures("folder")
def test_every_fill_pays_it_the_result_says_so_and_is_verified(tmp_path: Path) -> None:
    result = backtest(TAPE, **PLAIN, fee_function="has_fees:fine")

    assert len(result.fills) > 4
    assert set(result.fills["fee"].tolist()) == {500_000_000}
    assert result.summary["conventions"][-1].startswith("Fees are what has_fees:fine says")
    saved = result.save(tmp_path / "result")
    with pytest.raises(ConfigError, match=r"function for fees has_fees:fine \(in .*--trust-code"):
        verify(saved, [TAPE])
    assert verify(saved, [TAPE], trust_code=True).is_equal


@pytest.mark.usefixtures("folder")
def test_a_search_over_functions_tells_them_apart() -> None:
    """Fees of 0.5 and of 1.5 a fill."""
    searched = sweep(
        {"account.fee_function": ["has_fees:fine", "has_fees:dear"]},
        TAPE,
        **{**PLAIN, "report": {}},
        workers=1,
    )

    by_name = dict(zip(searched.table["account.fee_function"], searched.table["total_return"], strict=True))
    for name in ("has_fees:fine", "has_fees:dear"):
        alone = backtest(TAPE, **PLAIN, fee_function=name)
        assert by_name[name] == pytest.approx(alone.metrics["total_return"], rel=1e-12)


def own_fee(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    return 0.25


def test_from_python_a_function_goes_by_its_name() -> None:
    result = backtest(TAPE, **PLAIN, fee_function=own_fee)

    assert set(result.fills["fee"].tolist()) == {250_000_000}
    assert result.summary["config"]["account"]["fee_function"].endswith("test_fee_function:own_fee")
    with pytest.raises(ConfigError, match="no name leads to it; define it at the top of a module"):
        backtest(TAPE, **PLAIN, fee_function=lambda n, p, s, m, r, v: 0.25)
    with pytest.raises(ConfigError, match="fee: write fee_function=own_fee"):
        backtest(TAPE, **PLAIN, fee=own_fee)  # type: ignore[arg-type]


def test_the_page_shows_what_comes_out(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    option, example = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    (shown,) = re.findall(r"```\n(\d+ trades.*?)```", page, re.DOTALL)
    module = ModuleType("fees_page")
    monkeypatch.setitem(sys.modules, "fees_page", module)

    exec(compile(option + example, "fees.md", "exec"), vars(module))  # noqa: S102

    assert capsys.readouterr().out == shown
    fees = [module.option_fee(2.0 * p, p, 2.0, False, 0.0, 0.0) for p in (600.0, 50.0)]  # type: ignore[attr-defined]
    assert fees == pytest.approx([24.0, 10.0])
    # By hand, of what was filled: a day's volume counts from the next on.
    fills, total, by_day = module.result.fills, 0.0, {}  # type: ignore[attr-defined,var-annotated]
    for fill in fills:
        day, notional = int(fill["candle_ms"]) // 86_400_000, float(fill["notional"]) * 1e-9
        month = sum(by_day.get(day - back, 0.0) for back in range(1, 31))
        fee = min(0.02 * float(fill["quantity"]) / 0.001, 0.001 * notional)
        total += fee / 2 if month > 100_000 else fee
        by_day[day] = by_day.get(day, 0.0) + notional
    assert f"paid {total:.2f}\n" in shown
