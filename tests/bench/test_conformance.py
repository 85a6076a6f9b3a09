"""The page that compares our orders with another engine's is what both do today."""

from importlib.util import find_spec
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "deploy" / "docs" / "conformance.md"


@pytest.mark.skipif(find_spec("backtesting") is None, reason="`make conformance` installs it")
def test_the_page_is_what_both_engines_do_and_every_difference_has_its_reason() -> None:
    from tests.bench.conformance import REASONS, compared, page

    assert PAGE.read_text(encoding="utf-8") == page()
    assert {title for title, _, _ in compared()[1]} == set(REASONS)
