"""What proofs need to come to the same on every machine."""

import pytest

from papertape.replay.research import lookahead


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a slow machine cut a tape behind as many candles as a fast one."""
    monkeypatch.setattr(lookahead, "_EVERYWHERE_S", 300.0)
