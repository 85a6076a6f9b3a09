"""Tokens, addresses, and the one comparison that must not tell anything."""

from pathlib import Path

import pytest

from papertape.daemon.monitoring.access import (
    bears,
    check_address,
    is_address,
    is_called,
    is_loopback,
    load_token,
)
from papertape.engine.errors import ConfigError

TOKEN = "a-token-of-twenty-one"  # noqa: S105 # of this test


def test_tokens_come_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-the-file-0123456789\n")

    assert load_token(None, {}) is None
    assert load_token(file, {}) == "from-the-file-0123456789"
    assert load_token(file, {"PAPERTAPE_TOKEN": TOKEN}) == TOKEN
    for text, told in (("short", "at least 16"), ("", "empty"), ("x" * 9 + " " + "y" * 9, "ASCII")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=told):
            load_token(file, {})
    with pytest.raises(ConfigError, match="No such file"):
        load_token(tmp_path / "none", {})


def test_loopback_is_known_and_the_comparison_is_exact() -> None:
    assert [is_loopback(h) for h in ("127.0.0.1", "::1", "localhost")] == [True] * 3
    assert [is_loopback(h) for h in ("0.0.0.0", "10.0.0.1", "x")] == [False] * 3  # noqa: S104
    check_address("127.0.0.1", None)
    check_address("10.0.0.1", TOKEN)
    assert bears(TOKEN, f"bearer {TOKEN}")
    assert not bears(TOKEN, f"Bearer {TOKEN[:-1]}")
    assert not bears(TOKEN, f"Bearer {TOKEN[:-1]}é")


def test_a_name_is_ours_whole_or_not_at_all() -> None:
    hosts = ("Papertape", "trade.example.org")
    ours = ("papertape", "PAPERTAPE:9464", "trade.example.org", "trade.example.org.:443")
    others = (
        "papertape.evil.example",
        "evil-papertape",
        "example.org",
        "a.trade.example.org",
        "trade.example.org.evil.example",
        "trade.example.org:1:2",
        "[papertape]x",
        "",
        ":9464",
        ".",
        "10.0.0.1",
    )

    assert [is_called(name, hosts) for name in ours] == [True] * len(ours)
    assert [name for name in others if is_called(name, hosts)] == []
    assert [is_address(name) for name in ("10.0.0.1:80", "[fe80::1]:80", "::1", "0")] == [
        True,
        True,
        True,
        False,
    ]
    assert not is_address("10.0.0.1.evil.example")
