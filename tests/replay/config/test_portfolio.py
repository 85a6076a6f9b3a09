"""`[portfolio]`: from the configuration to what the result says of each symbol's part, and the sentences for the rest."""

from pathlib import Path
from typing import Any

import pytest

from papertape import backtest
from papertape.engine.errors import ConfigError
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import load_config, make_config
from papertape.replay.config.spec import make_spec
from papertape.replay.tapes.synthetic import synthesize

TAPES = [
    synthesize("regimes", 500, "1h", seed=seed, symbol=symbol)
    for seed, symbol in ((5, "AAAUSDT"), (6, "BBBUSDT"))
]
SETTINGS: dict[str, Any] = {
    "strategy": {"name": "ema_cross", "parameters": {"fast": 5, "slow": 20}},
    "account": {"sizing": "fraction", "fixed_fraction": 1.0},
    "signals": {"use_ml": False},
    "report": {"random_draws": 0, "sensitivity": False, "benchmarks": False},
}


def test_a_result_tells_what_each_symbol_was_allotted_used_and_earned(tmp_path: Path) -> None:
    told = {"allocation": "shares", "shares": {"AAAUSDT": 0.6, "BBBUSDT": 0.3}, "rebalance_hours": 24}
    result = backtest(TAPES, config=make_config({**SETTINGS, "portfolio": told}))
    plain = backtest(TAPES, config=make_config(SETTINGS))
    rows = result.summary["portfolio"]["symbols"]

    assert [row["allotted"] for row in rows] == [0.6, 0.3]
    # Held on some of the days, and then nearly all of the part: what rebalancing leaves between two midnights.
    assert all(0.2 < row["used"] < 1.0 for row in rows)
    assert sum(row["pnl_quote"] for row in rows) == pytest.approx(result.trades["pnl"].sum())
    assert len(result.orders) > 0
    assert "allotted" not in plain.summary["portfolio"]["symbols"][0]
    result.save(tmp_path / "a")
    assert verify(tmp_path / "a").differences == ()


def test_it_is_set_from_a_file_and_from_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "papertape.toml"
    file.write_text('[account]\nsizing = "all_in"\n[portfolio]\nallocation = "equal"\n')

    spec = make_spec(load_config(file, ["portfolio.rebalance_hours=6"]), TAPES)

    assert (spec.allocation.allocation, spec.allocation.rebalance_hours) == ("equal", 6)


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"allocation": "equall"}, "portfolio.allocation: input should be 'none', 'equal', 'inverse_volatility', 'risk_parity', 'score' or 'shares', not 'equall'"),
        ({"allocation": "shares", "shares": {"AAAUSDT": -1.0}}, "portfolio.shares.AAAUSDT: input should be greater than 0, not -1.0"),
        ({"allocation": "shares", "shares": {"AAAUSDT": 0.6, "BBBUSDT": 0.6}}, "portfolio.shares: they add up to 1.2, more than 1"),
        ({"allocation": "shares", "shares": {"AAUSDT": 0.6}}, "portfolio.shares.AAUSDT: no tape or symbol that is traded has that name: did you mean 'AAAUSDT'"),
        ({"shares": {"AAAUSDT": 0.6}}, 'portfolio.allocation = "none" does not read them; set it to "shares"'),
        ({"rebalance_hour": 24}, "portfolio.rebalance_hour: unknown key: did you mean 'rebalance_hours'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_one_sentence(told: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_spec(make_config({**SETTINGS, "portfolio": told}), TAPES)

    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
