"""The command line without a command: the same words, and nothing of any command loaded."""

import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from papertape.daemon.cli import COMMANDS, make_app, make_listing

ASKED = """
import sys
from papertape.daemon.cli import main
sys.argv = ["papertape", *{words}]
try:
    main()
except SystemExit:
    print(*sorted({{"papertape.engine.core", "pandas", "aiohttp"}} & set(sys.modules)))
"""


def test_the_listing_says_of_every_command_what_the_whole_command_line_says() -> None:
    whole, listing = (typer.main.get_command(app) for app in (make_app(), make_listing()))

    assert list(listing.commands) == list(COMMANDS)  # type: ignore[attr-defined]
    for name, command in listing.commands.items():  # type: ignore[attr-defined]
        assert command.help == whole.commands[name].help, name  # type: ignore[attr-defined]
    said = [CliRunner().invoke(app, ["--help"]).output for app in (make_app(), make_listing())]
    assert said[0] == said[1]


@pytest.mark.parametrize("words", [["--help"], ["tapes"], ["tape", "list"]])
def test_what_a_command_does_not_need_is_not_loaded(words: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(words=words)],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip

    assert done.stdout.splitlines()[-1] == ""
