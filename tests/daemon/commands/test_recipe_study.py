"""`papertape recipe-study`: its table, its numbers, and exit code 1 for what is not as it should be."""

import json
from dataclasses import dataclass

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import app
from papertape.daemon.commands import recipe_study as command
from papertape.replay.research.recipe_study import RecipeRow

ROWS = (
    RecipeRow("persistent", 0.5, 4.0, 400, 8, 0.02, 9.0, 0.0, 0.0, 0.0, is_fine=True),
    RecipeRow("edge", 0.55, 1.0, 400, 370, 0.925, 5.0, 0.0, 0.0, 0.85, is_fine=True),
    RecipeRow("edge ends", 0.55, 4.0, 400, 400, 1.0, 6.0, 0.3, 0.9, 0.0, is_fine=True),
)


@dataclass
class Rows:
    rows: tuple[RecipeRow, ...]

    def __call__(self, *_: object) -> tuple[RecipeRow, ...]:
        return self.rows


@pytest.mark.parametrize(
    ("rows", "code", "words"),
    [
        (ROWS, 0, ["within the level", "power, 85% asked", "months until demoted", "92.5%"]),
        ((ROWS[0]._replace(is_fine=False),), 1, ["ABOVE THE LEVEL"]),
        ((ROWS[1]._replace(is_fine=False),), 1, ["POWER BELOW 85%"]),
    ],
)
def test_table_and_exit_code(
    rows: tuple[RecipeRow, ...], code: int, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "recipe_study", Rows(rows))
    result = CliRunner().invoke(app, ["recipe-study"])

    assert result.exit_code == code
    for word in words:
        assert word in result.output

    told = json.loads(CliRunner().invoke(app, ["recipe-study", "--json"]).output)
    assert told["is_fine"] == (code == 0)
    assert [row["case"] for row in told["rows"]] == [row.case for row in rows]
