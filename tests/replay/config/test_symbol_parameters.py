"""`strategy.symbols`: parameters by symbol, from TOML, `--set` and `backtest` to a result that can be verified."""

from pathlib import Path
from typing import Any

import pytest

from papertape import backtest
from papertape.engine.errors import ConfigError
from papertape.engine.strategies import EmaCross
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import load_config, make_config
from papertape.replay.config.spec import make_spec
from papertape.replay.config.user_code import check_code
from papertape.replay.research.sweep.axes import parse_axis
from papertape.replay.tapes.synthetic import synthesize

TAPES = [
    synthesize("regimes", 500, "1h", seed=seed, symbol=symbol)
    for seed, symbol in ((5, "AAAUSDT"), (6, "BBBUSDT"))
]
SETTINGS: dict[str, Any] = {
    "account": {"sizing": "fraction"},
    "signals": {"use_ml": False},
    "report": {"random_draws": 0, "sensitivity": False},
}
STRATEGY: dict[str, Any] = {"name": "ema_cross", "parameters": {"fast": 5, "slow": 20}}
TOML = """
[strategy]
name = "ema_cross"
parameters = { fast = 5, slow = 20 }
schedule = [{ start = "2020-01-15", parameters = { slow = 30 }, symbols.BBBUSDT = { fast = 9 } }]

[strategy.symbols.BBBUSDT]
fast = 8
"""


def test_what_is_said_of_a_symbol_counts_more_than_what_is_said_of_all(tmp_path: Path) -> None:
    file = tmp_path / "papertape.toml"
    file.write_text(TOML)

    spec = make_spec(load_config(file, ["strategy.symbols.AAAUSDT.slow=25"]), TAPES)
    first, then = spec.every_turn

    assert (first.strategy, then.strategy) == (EmaCross(5, 20), EmaCross(5, 30))
    assert first.symbols == {"AAAUSDT": EmaCross(5, 25), "BBBUSDT": EmaCross(8, 20)}
    assert then.symbols == {"AAAUSDT": EmaCross(5, 25), "BBBUSDT": EmaCross(9, 30)}


def test_a_result_tells_the_parameters_of_each_symbol_and_is_verified(tmp_path: Path) -> None:
    config = make_config({**SETTINGS, "strategy": {**STRATEGY, "symbols": {"BBBUSDT": {"fast": 9}}}})
    result = backtest(TAPES, config=config)
    called = backtest(
        TAPES[::-1],
        strategy="ema_cross",
        parameters=STRATEGY["parameters"],
        symbol_parameters={"BBBUSDT": {"fast": 9}},
        **SETTINGS,
    )
    plain = backtest(TAPES, config=make_config({**SETTINGS, "strategy": STRATEGY}))

    assert result.digest == called.digest != plain.digest
    assert result.summary["parameters"]["fast"] == 5
    assert result.summary["symbol_parameters"] == {"BBBUSDT": {"fast": 9, "slow": 20, "allow_short": False}}
    assert "symbol_parameters" not in plain.summary
    result.save(tmp_path / "a")
    assert verify(tmp_path / "a").differences == ()


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"symbols": {"BBUSDT": {"fast": 3}}}, "strategy.symbols.BBUSDT: no tape or symbol that is traded has that name: did you mean 'BBBUSDT'"),
        ({"symbols": {"BBBUSDT": {"fats": 3}}}, "strategy.symbols.BBBUSDT.fats: unknown: did you mean 'fast'"),
        ({"symbols": {"BBBUSDT": {"fast": 0}}}, "strategy.symbols.BBBUSDT.fast: 0 is not between 1 and 4999; the nearest is 1"),
        ({"symbols": {"BBBUSDT": {"fast": 20}}}, "strategy.symbols.BBBUSDT: strategy.fast: 20 is not between 1 and slow - 1 = 19"),
        ({"symbols": {"BBBUSDT": {"fast": float("nan")}}}, "strategy.symbols.BBBUSDT.fast: nan is not a whole number"),
        ({"symbols": {"BBBUSDT": 5}}, "strategy.symbols.BBBUSDT: input should be a valid dictionary"),
        ({"schedule": [{"start": "2020-01-15", "symbols": {"CUSDT": {}}}]}, "strategy.schedule: entry 1: symbols.CUSDT: no tape"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(strategy: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_spec(make_config({"strategy": {**STRATEGY, **strategy}}), TAPES)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_code_of_users_is_checked_without_running_it() -> None:
    chosen = {"name": f"{__name__}:Own", "symbols": {"BBBUSDT": {"lenght": 3}}}
    file = Path(__file__)
    module = f"{file.stem}:Own"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(file.parent))
        with pytest.raises(ConfigError, match=r"strategy\.symbols\.BBBUSDT\.lenght: unknown"):
            check_code(make_config({"strategy": {**chosen, "name": module}}))


class Own:
    features = ("rsi_14",)

    def __init__(self, length: int = 3) -> None:
        self.length = length

    def decide(self, view: Any) -> None:
        del view


def test_an_instance_has_its_parameters_already() -> None:
    with pytest.raises(ConfigError, match=r"symbol_parameters=.*an instance has its own"):
        backtest(TAPES, strategy=EmaCross(), symbol_parameters={"BBBUSDT": {"fast": 9}}, **SETTINGS)


def test_an_axis_of_a_sweep_may_be_a_parameter_of_a_symbol() -> None:
    config = make_config({"strategy": STRATEGY})

    axis = parse_axis("strategy.symbols.BBBUSDT.fast=4:8:2", config)

    assert axis.values == (4, 6, 8)
    with pytest.raises(ConfigError, match=r"strategy\.symbols\.BBBUSDT\.fats: unknown: did you mean"):
        parse_axis("strategy.symbols.BBBUSDT.fats=4:8:2", config)
