"""Tokens of other daemons: from a file or the environment, each for one of them, and in no message."""

from pathlib import Path

import pytest

from papertape.daemon.monitoring.peers.tokens import VARIABLE, load_peer_tokens
from papertape.engine.errors import ConfigError

NAMES = ("desk", "other")


def test_lines_name_a_peer_and_its_token(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# of the desk\n\ndesk = abc=def\n other=x\n", encoding="utf-8")

    assert load_peer_tokens(file, {}, NAMES) == {"desk": "abc=def", "other": "x"}
    assert load_peer_tokens(file, {VARIABLE: "desk=y"}, NAMES) == {"desk": "y"}
    assert load_peer_tokens(None, {VARIABLE: " "}, NAMES) == {}


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("hunter2", "line 1 is not"),
        ("desk = hunter2\ndesk = hunter2", "line 2: 'desk' has a token already"),
        ("dsk = hunter2", "did you mean 'desk'"),
        ("desk = hunter2 hunter2", "without spaces"),
        ("desk =", "line 1 is not"),
        ("desk = hunter2é", "printable ASCII"),
    ],
)
def test_what_is_wrong_is_told_without_the_token(text: str, rule: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_peer_tokens(None, {VARIABLE: text}, NAMES)

    assert rule in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    with pytest.raises(ConfigError, match="No such file"):
        load_peer_tokens(file, {}, NAMES)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="is not text"):
        load_peer_tokens(file, {}, NAMES)
