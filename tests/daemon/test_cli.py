"""The command line without a command: the same words, and nothing of any command loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from papertape.daemon.cli import COMMANDS, main, make_app, make_listing

ASKED = """
import sys
from papertape.daemon.cli import main
for line in {lines}:
    sys.argv = ["papertape", *line.split()]
    try:
        main()
    except SystemExit:
        print("loaded:", *sorted({{"papertape.engine.core", "papertape.daemon.journal", "pandas", "aiohttp"}} & set(sys.modules)))
"""
# In this order, for what one loads the next has: a client of a daemon speaks its protocol, and has no engine.
LOADED = {
    "--help": "",
    "tapes": "",
    "tape list": "",
    "config check deploy/replay.toml": "",
    "ctl nothing": "",
}


def test_the_listing_says_of_every_command_what_the_whole_command_line_says() -> None:
    whole, listing = (typer.main.get_command(app) for app in (make_app(), make_listing()))

    assert list(listing.commands) == list(COMMANDS)  # type: ignore[attr-defined]
    for name, command in listing.commands.items():  # type: ignore[attr-defined]
        assert command.help == whole.commands[name].help, name  # type: ignore[attr-defined]
    said = [CliRunner().invoke(app, ["--help"]).output for app in (make_app(), make_listing())]
    assert said[0] == said[1]


def test_windows_is_refused_with_a_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")

    with pytest.raises(SystemExit, match=r"^papertape: Windows .* run it in WSL 2$"):
        main()


def test_what_a_command_does_not_need_is_not_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASKED.format(lines=list(LOADED))],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    said = [line for line in done.stdout.splitlines() if line.startswith("loaded:")]
    assert said == [f"loaded:{names}" for names in LOADED.values()]


def test_who_steps_a_journal_again_loads_no_reader_of_files() -> None:
    """Every daemon starts such a process beside it, and itself reads files only for whoever asks for a result."""
    program = """
import sys, papertape.daemon.runtime.audit
print(*{"pandas", "pyarrow", "aiohttp"} & set(sys.modules))
import papertape.daemon.commands.run
print(*{"pandas", "pyarrow"} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout == "\n\n"


@pytest.mark.parametrize(("command", "told"), [("replay", 1), ("config check", 0)])
def test_where_machine_code_cannot_be_kept_a_command_that_compiles_says_so_once(
    tmp_path: Path, command: str, told: int
) -> None:
    """Every start compiled for a minute, and only `doctor` said why."""
    place = tmp_path / "file"
    place.touch()

    done = subprocess.run(
        [sys.executable, "-m", "papertape.daemon.cli", *command.split(), "none.toml", "--json"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PAPERTAPE_CACHE_DIR": str(place)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    first = f"papertape: machine code cannot be kept in {place}/papertape, so every start compiles"
    assert done.stderr.count(first) == done.stderr.count("PAPERTAPE_CACHE_DIR") == told
    assert len(done.stderr.splitlines()) == 1 + told


def test_output_that_goes_nowhere_is_no_fault() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" -m papertape.daemon.cli tape list >&- <&-', sys.executable],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_what_we_start_has_somewhere_to_print_when_output_is_closed(tmp_path: Path) -> None:
    """Else the first file that it opens is its output."""
    opened = tmp_path / "opened"
    child = f"print('!', flush=True); print(open({str(opened)!r}, 'w').fileno() > 2, file=open({str(opened)!r}, 'a'))"
    program = (
        "import subprocess, sys; from papertape.daemon.cli import _open_streams; _open_streams(); "
        f"subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    )

    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" >&- 2>&- <&-', sys.executable, program]
    subprocess.run(command, timeout=60, check=True)

    assert opened.read_text() == "True\n"


def test_a_letter_that_the_terminal_has_not_is_a_question_mark() -> None:
    asked = ASKED.format(lines=["--version"]).replace("loaded:", "±")

    done = subprocess.run(
        [sys.executable, "-c", asked],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert done.stdout.splitlines()[-1] == "?"
