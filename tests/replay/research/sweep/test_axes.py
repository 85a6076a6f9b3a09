"""What `--grid` says, what a space holds, and the sentence for everything else."""

import base64
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.engine.candles import DAY_MS
from papertape.engine.errors import ConfigError
from papertape.engine.performance.curve import CurveColumns
from papertape.engine.records import UNITS_PER_QUOTE
from papertape.engine.strategies.ema_cross import EmaCross
from papertape.replay.config import load_config
from papertape.replay.research.sweep.axes import Axis, make_axis, parameter_in, parse_axis, with_changes
from papertape.replay.research.sweep.result import sign_of
from papertape.replay.research.sweep.run import identity
from papertape.replay.research.sweep.space import make_space
from papertape.replay.research.sweep.trial import TrialRunner
from papertape.replay.research.trials.returns import compact_returns
from papertape.replay.tapes.synthetic import synthesize

CROSS = load_config(None, ["strategy.name=ema_cross"])
FAST = "strategy.parameters.fast"


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (f"{FAST}=5:20:5", (5, 10, 15, 20)),
        (f"{FAST}=5:19:5", (5, 10, 15)),
        (f"{FAST}=7,3", (7, 3)),
        ("strategy.parameters.allow_short", (False, True)),
        ("strategy.parameters.allow_short=true", (True,)),
        ("account.risk_fraction=0.1:0.5:0.1", (0.1, 0.2, 0.3, 0.4, 0.5)),
        ("account.capital=1000:2000:1000", (1000.0, 2000.0)),
        ("account.sizing=risk, all_in", ("risk", "all_in")),
        ("market.taker_fee_rate=0,0.001", (0.0, 0.001)),
        ("markets.BTCUSDT.taker_fee_rate=0.001", (0.001,)),
        ('markets."BRK.B".taker_fee_rate=0.001', (0.001,)),
        ("data.timeframe=1h,4h", ("1h", "4h")),
        ("data.tapes=BTCUSDT,ETHUSDT", (["BTCUSDT"], ["ETHUSDT"])),
        ("account.latency_bars=0:2:1", (0, 1, 2)),
        ("data.start=2023-01-01, 2023-02-01T12:00:00", ("2023-01-01", "2023-02-01T12:00:00")),
    ],
)
def test_values_of_an_axis(text: str, values: tuple[Any, ...]) -> None:
    axis = parse_axis(text, CROSS)

    assert axis.values == values
    assert [type(value) for value in axis.values] == [type(value) for value in values]


@pytest.mark.parametrize(
    ("text", "low", "high", "is_whole"),
    [
        (f"{FAST}=5:50", 5, 50, True),
        ("account.risk_fraction=0.001:0.05", 0.001, 0.05, False),
        ("account.capital=1000:2000", 1000.0, 2000.0, False),
    ],
)
def test_ranges_to_draw_from(text: str, low: float, high: float, is_whole: bool) -> None:
    axis = parse_axis(text, CROSS)

    assert (axis.values, axis.low, axis.high, axis.is_whole) == ((), low, high, is_whole)


def test_parameters_of_a_symbol_with_a_dot_are_an_axis() -> None:
    axis = parse_axis('strategy.symbols."BRK.B".fast=5,7', CROSS)

    assert parameter_in(axis.key) == ("BRK.B", "fast")
    assert with_changes(CROSS, {axis.key: 7}).strategy.parameters_in(None, "BRK.B")["fast"] == 7


def test_a_key_alone_is_all_that_a_strategy_declares() -> None:
    axis = parse_axis("strategy.parameters.slow", CROSS)

    assert (axis.values[0], axis.values[-1], len(axis.values)) == (2, 5_000, 4_999)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "write KEY=VALUES"),
        (f"{FAST}=", "it holds no value"),
        (f"{FAST}=9:5:1", "it holds no value, for 9 is above 5"),
        (f"{FAST}=5:9:0", "the step 0 is not above 0"),
        (f"{FAST}=5,5", "a value stands twice"),
        ("account.allow_short=true,false,True", "True and 'True' are the same value"),
        ("data.start=2023-01-01,2023-01-01T00:00", "'2023-01-01' and '2023-01-01T00:00' are the same value"),
        (f"{FAST}=0:10:5", "strategy.parameters.fast: 0 is not between 1 and 4999; the nearest is 1"),
        (f"{FAST}=1:9000", "9000 is not between 1 and 4999; the nearest is 4999"),
        (f"{FAST}=2.5", "2.5 is not a whole number"),
        ("strategy.parameters.fats=5", "unknown: did you mean 'fast'?"),
        ("acount.capital=5", "unknown key: did you mean 'account'?"),
        ("account.capitl=5", "unknown key: did you mean 'account.capital'?"),
        ("account=5", "it is a section; vary one of its keys"),
        ("account.capital=-5", "account.capital: input should be greater than 0"),
        ("account.capital=1:1e9:0.001", "values are more than 100,000; take a larger step"),
        (f"{FAST}=1:1e308:1", "=1:1e308:1: 1e+308 values are more than 100,000"),
        ("account.capital=1:1e308:1e-300", "inf values are more than 100,000"),
        (f"{FAST}=1:{'9' * 400}:1", "low, high and step are finite numbers"),
        ("account.capital", "nothing declares its range"),
        ("account.capital=1:inf:5", "finite"),
    ],
)
def test_what_no_axis_can_be(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        parse_axis(text, CROSS)

    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_grid_is_every_combination_with_the_last_axis_fastest() -> None:
    axes = [make_axis(FAST, [5, 10], CROSS), make_axis("account.capital", [1.0, 2.0, 3.0], CROSS)]
    space = make_space(axes)

    found = [tuple(space.changes(number).values()) for number in range(space.size)]

    assert found == list(product([5, 10], [1.0, 2.0, 3.0]))


def test_draws_of_a_grid_repeat_no_point_and_follow_the_seed() -> None:
    axes = [make_axis(FAST, "1:50:1", CROSS), make_axis("account.latency_bars", "0:9:1", CROSS)]
    drawn = {
        seed: [tuple(space.changes(n).values()) for n in range(space.size)]
        for seed in (1, 2)
        for space in [make_space(axes, 400, seed)]
    }

    assert len(set(drawn[1])) == 400
    assert drawn[1] != drawn[2]
    assert drawn[1] == [tuple(make_space(axes, 400, 1).changes(n).values()) for n in range(400)]


def test_a_draw_between_bounds_depends_on_its_number_alone() -> None:
    axes = [make_axis("account.risk_fraction", "0.01:0.05", CROSS), make_axis(FAST, "5:9", CROSS)]
    few, many = make_space(axes, 10, 3), make_space(axes, 1_000, 3)

    found = [many.changes(number) for number in range(1_000)]

    assert found[:10] == [few.changes(number) for number in range(10)]
    assert {one[FAST] for one in found} == {5, 6, 7, 8, 9}
    risks = [one["account.risk_fraction"] for one in found]
    assert 0.01 <= min(risks) < 0.0105
    assert 0.0495 < max(risks) <= 0.05


@pytest.mark.parametrize(
    ("texts", "draws", "said"),
    [
        ([], None, "sweep: nothing varies; name a --grid"),
        ([f"{FAST}=5", f"{FAST}=6"], None, "it stands twice"),
        ([f"{FAST}=5:50"], None, "it has no step"),
        ([f"{FAST}=5:50:5"], 11, "the grid has 10 points"),
        ([f"{FAST}=5"], 0, "draw one trial at least"),
        (
            [f"{FAST}=1:1000:1", "strategy.parameters.slow=1001:2000:1", "account.latency_bars=0:9:1"],
            None,
            "sweep: 10,000,000 trials are more than 100,000; draw some of them with --draw N",
        ),
    ],
)
def test_what_no_space_can_be(texts: list[str], draws: int | None, said: str) -> None:
    axes = [parse_axis(text, CROSS) for text in texts]

    with pytest.raises(ConfigError) as refused:
        make_space(axes, draws)

    assert said in str(refused.value)


def test_no_space_is_drawn_by_a_seed_below_zero() -> None:
    axes = [parse_axis(f"{FAST}=5:50", CROSS)]

    with pytest.raises(ConfigError, match="--seed -1: it is below 0"):
        make_space(axes, 3, seed=-1)


def test_an_unknown_metric_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'sharpe'"):
        sign_of("sharp")


def test_changes_make_what_set_makes() -> None:
    changed = with_changes(CROSS, {FAST: 7, "markets.X.taker_fee_rate": 0.001})

    told = ["strategy.name=ema_cross", f"{FAST}=7", "markets.X.taker_fee_rate=0.001"]
    assert changed == load_config(None, told)


def test_what_is_not_changed_is_not_read_again() -> None:
    made = CROSS.model_copy(update={"strategy": CROSS.strategy.made_with("mine", EmaCross)})

    found = with_changes(made, {"account.capital": 5_000.0, "markets.X.taker_fee_rate": 0.001})

    assert found.strategy is made.strategy
    assert found.strategy.made_by is EmaCross
    assert found.data is made.data
    assert found.account == made.account.model_copy(update={"capital": 5_000.0})
    assert with_changes(made, {FAST: 7}).strategy.made_by is EmaCross
    with pytest.raises(ConfigError, match=r"accounts: unknown key: did you mean 'account'"):
        with_changes(made, {"accounts.capital": 1.0})


def test_compact_returns_multiply_to_the_whole() -> None:
    """600 days of +0.1 % make blocks of three days, each 1.001³ − 1, and the total is 1.001^600."""
    days = np.arange(1, 601)
    equity = np.round(1e4 * 1.001**days * UNITS_PER_QUOTE).astype(np.int64)
    marks = CurveColumns(time_ms=days * DAY_MS, equity=equity)

    first, length, coded = compact_returns(marks, 1e4).split(":")
    blocks = np.frombuffer(base64.b64decode(coded), "<f4")

    assert (first, length, len(blocks)) == ("0", "3", 200)
    np.testing.assert_allclose(blocks, 1.001**3 - 1.0, rtol=1e-5)
    assert np.prod(1.0 + blocks.astype(float)) == pytest.approx(1.001**600, rel=1e-5)


def test_what_axes_and_configuration_name_makes_a_search_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of a strategy or feature that an axis or the configuration names, and the bytes of a file of funding."""
    monkeypatch.syspath_prepend(str(tmp_path))
    files = {name: tmp_path / name for name in ("chosen.py", "felt.py", "paid.csv", "other.csv")}
    for path in files.values():
        path.write_text("one = 1\n")
    config = load_config(None, [f'data.funding.SYNTH="{files["paid.csv"]}"']).model_copy(
        update={"signals": CROSS.signals.model_copy(update={"own_features": ("felt:one",)})}
    )
    axes = [
        Axis("strategy.name", ("ema_cross", "chosen:one")),
        Axis("data.funding", ({"SYNTH": str(files["other.csv"])},)),
    ]
    runner = TrialRunner(config, [synthesize("regimes", 50, "1h", seed=5)])
    seen = [identity(config, runner, axes)]

    for path in files.values():
        path.write_text("one = 2\n")
        seen.append(identity(config, runner, axes))

    assert [[name for name in a if a[name] != b[name]] for a, b in pairwise(seen)] == [
        ["code"],
        ["code"],
        ["files"],
        ["files"],
    ]
    files["other.csv"].unlink()
    assert identity(config, runner, axes)["files"][str(files["other.csv"])] == ""
    assert "files" not in identity(CROSS, runner, [])


def test_a_store_is_no_axis() -> None:
    with pytest.raises(ConfigError, match=r"data\.store: trials share one store; vary data\.tapes"):
        parse_axis("data.store=a,b", CROSS)


@pytest.mark.parametrize("key", ["report.name=a,b", "daemon.port=9464,9465"])
def test_what_decides_nothing_is_no_axis(key: str) -> None:
    with pytest.raises(ConfigError, match="decides nothing, so all trials would be one"):
        parse_axis(key, CROSS)
