"""`papertape honesty`: rows as they end, exit codes, and a main process without torch."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import app
from papertape.daemon.commands import honesty as command
from papertape.replay.honesty import HonestyRow


@pytest.mark.slow
def test_quick_prints_every_row_and_ends_with_0_without_loading_torch() -> None:
    script = (
        "import sys\n"
        "sys.argv = ['papertape', 'honesty', '--quick']\n"
        "from papertape.daemon.cli import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=300, check=False
    )

    assert done.returncode == 0, done.stderr
    for words in (
        "random walk, logistic",
        "edge of 63.1%",
        "labels shuffled",
        "purge and embargo",
        "18 rows in",
        "every row is as it should be",
    ):
        assert words in done.stdout


@pytest.mark.slow
def test_a_planted_defect_ends_with_1_in_json_as_well() -> None:
    result = CliRunner().invoke(app, ["honesty", "--quick", "--plant", "gate", "--json"])

    values = json.loads(result.output)
    assert result.exit_code == 1
    assert not values["is_honest"]
    assert len(values["rows"]) == 18
    assert {row["part"] for row in values["rows"] if not row["is_fine"]} == {"a", "c", "g"}


def test_a_row_that_fails_says_what_was_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        HonestyRow("a", "random walk, logistic", "refused, no edge", "0 of 2 promoted", True, 0.5),
        HonestyRow("c", "labels shuffled", "chance", "accuracy 61.6%, an edge", False, 0.25),
    ]

    def run(
        options: object, on_row: Callable[[HonestyRow], None], show: object, **_: object
    ) -> list[HonestyRow]:
        for row in rows:
            on_row(row)
        return rows

    monkeypatch.setattr(command, "run_honesty", run)
    result = CliRunner().invoke(app, ["honesty", "--quick"])

    assert result.exit_code == 1
    assert "✓ a  random walk, logistic" in result.output
    assert "✗ c  labels shuffled" in result.output
    assert result.output.count("expected: ") == 1
    assert "expected: chance" in result.output
    assert "2 rows in 1 s: 1 not as it should be" in result.output
