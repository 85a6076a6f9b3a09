"""Addresses come from a file or the environment, and from nowhere do they come out again."""

import logging
import sys
from pathlib import Path

import pytest

from papertape.daemon.notifications.addresses import load_addresses, secrets_of
from papertape.engine.errors import ConfigError

ADDRESS = "discord://4174216298/JHMHI8qBe7bk2ZwO5U711o3dV_js"


def test_a_file_gives_addresses_and_the_environment_goes_before_it(tmp_path: Path) -> None:
    file = tmp_path / "addresses"
    file.write_text(f"# mine\n\n{ADDRESS}\n", encoding="utf-8")

    found = load_addresses(file, {})
    other = load_addresses(file, {"PAPERTAPE_NOTIFY": "json://example.org/other-secret"})

    assert found is not None
    assert other is not None
    assert ADDRESS in found.secrets
    assert "other-secret" in other.secrets
    assert repr(found) == "Addresses(…)"
    assert load_addresses(None, {}) is None


def test_every_part_that_could_be_a_secret_is_one() -> None:
    parts = secrets_of([ADDRESS, "json://user:hunter2hunter2@127.0.0.1:8080/hook/tok-123456"])

    assert {"4174216298", "JHMHI8qBe7bk2ZwO5U711o3dV_js", "hunter2hunter2", "tok-123456"} <= {*parts}
    assert "127.0.0.1" not in parts


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "there is no address in it; write one a line"),
        ("# none yet\n", "there is no address in it; write one a line"),
        (f"{ADDRESS}\nnonsense-with-a-secret\n", "address 2 of 2 is none that apprise knows"),
        ("unknown://very-secret\n", "address 1 of 1 is none that apprise knows"),
    ],
)
def test_a_bad_file_is_refused_in_a_sentence_without_what_is_in_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, sentence: str
) -> None:
    file = tmp_path / "addresses"
    file.write_text(text, encoding="utf-8")

    with pytest.raises(ConfigError, match=sentence) as refusal:
        load_addresses(file, {})

    printed = capfd.readouterr()
    assert "secret" not in f"{refusal.value!r} {refusal.value.__cause__!r} {printed.out} {printed.err}"
    with pytest.raises(ConfigError, match="No such file"):
        load_addresses(tmp_path / "nothing", {})


def test_without_apprise_a_sentence_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)

    with pytest.raises(ConfigError, match=r"not installed; `pip install 'papertape\[notify\]'`") as refusal:
        load_addresses(None, {"PAPERTAPE_NOTIFY": ADDRESS})

    assert "JHMHI8" not in str(refusal.value)


def test_the_libraries_logs_are_closed(caplog: pytest.LogCaptureFixture) -> None:
    load_addresses(None, {"PAPERTAPE_NOTIFY": ADDRESS})

    for name in ("apprise", "urllib3.connectionpool", "requests"):
        logging.getLogger(name).error("POST %s", ADDRESS)

    assert not caplog.records
