"""`papertape drift`: its tables and numbers at small sizes."""

import json

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import app
from papertape.daemon.commands import drift as command
from papertape.replay.research.drift_study import CASES, SEEN_BY
from papertape.replay.research.gate_study import NOISES, GateRow

SMALL = ["drift", "--runs", "1", "--rows", "1200", "--gate", "--gate-runs", "10"]


def test_tables_name_every_detector_and_case() -> None:
    result = CliRunner().invoke(app, SMALL)

    assert result.exit_code == 0, result.output
    for name in (*CASES[1:], *(name.replace("_", " ") for name in SEEN_BY), *NOISES, "power"):
        assert name in result.output


def test_json_has_every_row() -> None:
    result = CliRunner().invoke(app, [*SMALL, "--json"])

    values = json.loads(result.output)
    assert result.exit_code == 0
    assert {(row["case"], row["detector"]) for row in values["drift"]} == {
        (case, detector) for case in CASES for detector in SEEN_BY
    }
    assert [row["case"] for row in values["gate"][: len(NOISES)]] == list(NOISES)
    assert values["is_fine"]


def test_a_gate_that_lets_noise_pass_too_often_ends_with_exit_code_1(monkeypatch: pytest.MonkeyPatch) -> None:
    bad = GateRow("mirrored", 0.5, 720, 12, 400, 60, 0.15, is_fine=False)
    monkeypatch.setattr(command, "gate_study", lambda *_: iter([bad]))

    result = CliRunner().invoke(app, SMALL)

    assert result.exit_code == 1
    assert "ABOVE THE LEVEL" in result.output
