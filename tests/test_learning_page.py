"""The page on learning: its commands, in its order, print what is shown."""

from pathlib import Path

import pytest

from tests.support.commands import Inside
from tests.support.shown import check_page

PAGE = Path(__file__).resolve().parents[1] / "deploy" / "docs" / "learning.md"


@pytest.mark.slow
def test_learning_commands_print_what_is_shown(
    tmp_path: Path, inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PAPERTAPE_MODELS", raising=False)
    assert check_page(PAGE, inside, tmp_path, is_masked=True) == 6
