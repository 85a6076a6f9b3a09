"""Lines about learning in the terminal: what is told of models that did not trade, and of seeds that are apart."""

from typing import Any

from papertape.daemon.commands.learning_tables import decisions, shadow_lines, worth_table
from papertape.daemon.commands.output import console


def test_lines_of_an_ensemble_and_of_a_single_model() -> None:
    paper = {"paper_trades": 4, "paper_return": -0.02, "log_loss": 0.691}
    apart = {"seeds": 5.0, "seed_spread": 0.0312, "seed_log_loss": 0.7, "seed_log_loss_highest": 0.72}

    single = shadow_lines([], {"challenger": paper})
    several = shadow_lines([], {"challenger": paper | apart})

    assert single == ["in the shadow: 4 paper trades after costs, -0.500% each, -2.00% together"]
    assert several == [
        *single,
        "5 models as one: log-loss 0.6910 together, 0.7000 alone, the worst of each retrain 0.7200; apart by 0.0312 "
        "(standard deviation of probabilities)",
    ]
    assert shadow_lines([], {}) == []


def test_worth_of_inputs_is_told_by_group_the_most_first() -> None:
    groups: list[dict[str, Any]] = [
        {"inputs": ["rsi_14", "A[/x]:mfi_14"], "value": 0.0021, "lower": 0.0004, "upper": 0.0035},
        *(
            {"inputs": [f"log_return_{n}"], "value": -0.0001, "lower": None, "upper": 0.0001}
            for n in range(12)
        ),
    ]
    worth = {"rows": 700, "orders": 3, "groups": groups}

    with console.capture() as capture:
        console.print(worth_table(worth))

    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    assert lines[-13:-11] == ["rsi_14, A[/x]:mfi_14 +2.10 +0.40 … +3.50", "log_return_0 -0.10 – … +0.10"]
    assert lines[-1] == "1 other -0.10"


def test_criteria_of_a_gate_that_does_not_decide_are_said_to_be_its_own() -> None:
    failed = [{"name": "net_return_above_0", "is_passed": False}, {"name": "log_loss", "is_passed": True}]
    by_gate = {"reason": "refused", "gate": {"criteria": failed}}
    by_recipe = {"reason": "refused", "gate": {"criteria": failed, "recipe": {"policy": "recipe"}}}
    lost = {"reason": "training took longer than 600 s", "gate": {}}

    assert decisions([by_gate, by_gate, by_recipe, lost]) == [
        "2 × not met: net return above 0",
        "1 × by its own gate, not met: net return above 0",
        "1 × training took longer than 600 s",
    ]
