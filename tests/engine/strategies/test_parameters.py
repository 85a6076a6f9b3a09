"""Parameters declared in a class: what they are on it and its instances, and what every way in refuses."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from papertape import backtest, parameter
from papertape.daemon.cli import app
from papertape.engine.errors import ConfigError
from papertape.engine.records import FLAT, LONG
from papertape.engine.spec import EngineSpec, Market
from papertape.engine.strategies import (
    STRATEGIES,
    Decision,
    class_of,
    declared_parameters,
    make_strategy,
    parameters_of,
)
from papertape.replay.config.user_code import check_strategy


class Plain:
    fast: int = parameter(12, low=2, high=200, step=2, help="bars")
    edge: float = parameter(0.5, low=0.1, high=0.9, step=0.1)
    side: str = parameter("long", choices=("long", "short", "both"))
    is_on: bool = parameter(True)
    whole: float = parameter(3)

    @property
    def features(self) -> tuple[str, ...]:
        return (f"ema_{self.fast}",)

    def decide(self, view: Any) -> Decision | None:
        above = view.close > view[f"ema_{self.fast}"]
        return Decision(LONG if above else FLAT, stop_distance=self.edge * view.close)


@dataclass
class AsDataclass:
    fast: int = parameter(12, low=2, high=200, step=2, help="bars")
    edge: float = parameter(0.5, low=0.1, high=0.9, step=0.1)
    side: str = parameter("long", choices=("long", "short", "both"))
    is_on: bool = parameter(True)
    whole: float = parameter(3)
    features: tuple[str, ...] = field(default=(), init=False)

    def __post_init__(self) -> None:
        self.features = (f"ema_{self.fast}",)

    decide = Plain.decide


@dataclass(frozen=True, slots=True)
class Slotted:
    fast: int = parameter(12, low=2, high=200, step=2, help="bars")
    edge: float = parameter(0.5, low=0.1, high=0.9, step=0.1)
    side: str = parameter("long", choices=("long", "short", "both"))
    is_on: bool = parameter(True)
    whole: float = parameter(3)

    features = Plain.features
    decide = Plain.decide


class WithInit(Plain):
    """Reads what is declared while it is made, and takes an argument that is not."""

    def __init__(self, offset: int = 1) -> None:
        self.bars = self.fast + offset


KINDS = (Plain, AsDataclass, Slotted, WithInit)
DEFAULTS = {"fast": 12, "edge": 0.5, "side": "long", "is_on": True, "whole": 3.0}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_class_reads_the_same_declarations(kind: Any) -> None:
    assert kind.__name__ == "Slotted" or kind.fast == 12  # what dataclasses take for the default
    made: Any = make_strategy("a:B", {"fast": np.int64(20), "whole": 4}, kind)

    assert parameters_of(made) == DEFAULTS | {"fast": 20, "whole": 4.0}
    assert parameters_of(make_strategy("a:B", {}, kind)) == DEFAULTS
    assert [type(value) for value in parameters_of(made).values()] == [int, float, str, bool, float]
    assert made.features == ("ema_20",)
    assert declared_parameters(kind)["fast"].to_json() == {
        "name": "fast",
        "type": "int",
        "default": 12,
        "low": 2,
        "high": 200,
        "step": 2,
        "choices": [],
        "help": "bars",
    }


def test_what_is_declared_stands_before_init_runs() -> None:
    made: Any = make_strategy("a:B", {"fast": 20, "offset": 5}, WithInit)

    assert made.bars == 25


REFUSED = [
    ("fast", 1, "strategy.parameters.fast: 1 is not between 2 and 200 in steps of 2; the nearest is 2"),
    ("fast", 999, "strategy.parameters.fast: 999 is not between 2 and 200 in steps of 2; the nearest is 200"),
    ("fast", 13, "strategy.parameters.fast: 13 is not between 2 and 200 in steps of 2; the nearest: 12 or 14"),
    ("fast", 12.0, "strategy.parameters.fast: 12.0 is not a whole number"),
    ("fast", True, "strategy.parameters.fast: True is not a whole number"),
    ("fast", "12", "strategy.parameters.fast: '12' is not a whole number"),
    ("fast", None, "strategy.parameters.fast: None is not a whole number"),
    ("edge", math.nan, "strategy.parameters.edge: nan is not a finite number"),
    ("edge", math.inf, "strategy.parameters.edge: inf is not a finite number"),
    ("edge", 0.25, "strategy.parameters.edge: 0.25 is not between 0.1 and 0.9 in steps of 0.1; the nearest: 0.2 or 0.3"),
    ("edge", "much", "strategy.parameters.edge: 'much' is not a number"),
    ("side", "lnog", "strategy.parameters.side: 'lnog' is none of 'long', 'short', 'both': did you mean 'long'?"),
    ("side", 1, "strategy.parameters.side: 1 is not text"),
    ("is_on", 1, "strategy.parameters.is_on: 1 is not true or false"),
    ("fats", 3, "strategy.parameters.fats: unknown: did you mean 'fast'?"),
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "value", "said"), REFUSED)
def test_what_is_not_allowed_is_refused_with_the_nearest(kind: Any, name: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        make_strategy("a:B", {name: value}, kind)

    assert str(refused.value) == said


def test_all_faults_are_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        make_strategy("a:B", {"fast": 1, "edge": math.nan}, Plain)

    assert len(str(refused.value).splitlines()) == 2


@pytest.mark.parametrize("edge", [0.1, 0.2, 0.1 + 0.2, 0.7, 0.8999999999999999])
def test_decimal_steps_are_met_within_their_rounding(edge: float) -> None:
    assert parameters_of(make_strategy("a:B", {"edge": edge}, Plain))["edge"] == edge


def test_an_instance_is_checked_too() -> None:
    made = Plain()
    with pytest.raises(ConfigError, match="fast: 1 is not between"):
        made.fast = 1
    with pytest.raises(ConfigError, match="fast: 1 is not between"):
        AsDataclass(fast=1)
    with pytest.raises(ConfigError, match="fast: 1 is not between"):  # slots have no descriptor
        EngineSpec([Market("X")], Slotted(fast=1), "1h", "1h")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"default": 5, "low": 6}, "5 is not at least 6"),
        ({"default": 5, "low": 9, "high": 6}, "low 9 is not below high 6"),
        ({"default": 5, "step": 2}, "counted from low"),
        ({"default": 5, "low": 1, "step": 0}, "a step is above 0"),
        ({"default": 5, "low": 0, "step": 2}, "nearest: 4 or 6"),
        ({"default": 5, "high": math.nan}, "are finite"),
        ({"default": 5, "high": "6"}, "are numbers"),
        ({"default": math.nan}, "not a finite number"),
        ({"default": "a", "low": 1}, "for numbers without choices"),
        ({"default": "a", "choices": ("b",)}, "none of 'b'"),
        ({"default": None}, "neither a number nor text"),
        ({"default": (1, 2)}, "neither a number nor text"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parameter(**options)


def test_annotation_and_default_are_of_one_type() -> None:
    class Wrong:
        fast: int = parameter(1.5)  # type: ignore[assignment]

    with pytest.raises(ConfigError, match=r"fast: int = parameter\(1.5\) is not one type"):
        declared_parameters(Wrong)


def test_a_derived_class_adds_changes_and_fixes() -> None:
    class Derived(Plain):
        fast: int = 30  # a constant from here on
        edge: float = parameter(0.2, low=0.1)
        more: int = parameter(1)

    assert list(declared_parameters(Derived)) == ["edge", "side", "is_on", "whole", "more"]
    assert declared_parameters(Derived)["edge"].high is None
    made: Any = make_strategy("a:B", {"more": 7}, Derived)
    assert (made.fast, made.edge, made.more) == (30, 0.2, 7)
    with pytest.raises(ConfigError, match="fast: unknown"):
        make_strategy("a:B", {"fast": 4}, Derived)


@pytest.mark.parametrize("name", [n for n in STRATEGIES if n != "bracket_w2"])
def test_built_in_strategies_declare_theirs(name: str) -> None:
    declared = declared_parameters(class_of(name))
    assert declared
    assert all(one.help for one in declared.values())

    made = make_strategy(name, {})

    assert parameters_of(made) == {key: one.default for key, one in declared.items()}
    for key in declared:
        with pytest.raises(ConfigError, match=f"strategy.parameters.{key}: "):
            make_strategy(name, {key: None})


def test_results_say_what_was_set_and_digests_follow_it() -> None:
    def run(strategy: Any, **parameters: Any) -> Any:
        return backtest(
            start="2023-11-01",
            strategy=strategy,
            parameters=parameters,
            use_ml=False,
            report={"sensitivity": False, "random_draws": 0},
        )

    plain, other = run(Plain, fast=20), run(AsDataclass, fast=20)
    assert plain.summary["parameters"] == DEFAULTS | {"fast": 20}
    assert plain.summary["digest"] == other.summary["digest"]
    assert run(Plain).summary["digest"] != plain.summary["digest"]
    with pytest.raises(ConfigError, match="the nearest is 200"):
        run(Plain, fast=400)


def test_fingerprints_go_by_values_not_by_how_they_were_given() -> None:
    def fingerprint(strategy: Any) -> str:
        return EngineSpec([Market("X")], strategy, "1h", "1h").fingerprint()

    given = make_strategy("a:B", {"fast": 12}, Plain)
    assert fingerprint(given) == fingerprint(Plain()) == fingerprint(make_strategy("a:B", {}, Plain))
    assert fingerprint(given) != fingerprint(make_strategy("a:B", {"fast": 14}, Plain))


OWN = """
from papertape import parameter
LIMIT = 9

class Own:
    features = ()
    fast: int = parameter(12, low=2, high=200, step=2)
    edge: float = parameter(1, low=0.5)
    free: int = parameter(3, high=LIMIT)

    def decide(self, view):
        raise SystemExit("was run")
"""


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"fast": 13}, "nearest: 12 or 14"),
        ({"edge": 0.1}, "edge: 0.1 is not at least 0.5"),
        ({"fats": 13}, "fats: unknown: did you mean 'fast'"),
        ({"fast": 14, "edge": 2.5, "free": 99}, ""),  # what LIMIT is only running tells
    ],
)
def test_checking_reads_declarations_without_running_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], said: str
) -> None:
    (tmp_path / "own_parameters.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)

    if not said:
        check_strategy("own_parameters:Own", given)
        return
    with pytest.raises(ConfigError, match=said):
        check_strategy("own_parameters:Own", given)


def test_the_command_lists_them() -> None:
    shown = CliRunner().invoke(app, ["config", "parameters", "ema_cross"])
    none = CliRunner().invoke(app, ["config", "parameters", "bracket_w2"])

    assert shown.exit_code == none.exit_code == 0
    assert "between 1 and 4999" in shown.output
    assert "bracket_w2 declares no parameters" in none.output
