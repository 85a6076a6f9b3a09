"""The help of every command: its example is one that the command takes, and that works as it stands."""

import re
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from papertape.daemon.cli import make_app
from papertape.replay.tapes.store import Store, Tape
from tests.support.commands import Inside
from tests.support.helpers import START_MS, random_candles

# They talk to a venue or a daemon or need its state, or end with a tape of years; the README's test runs those that train.
NOT_ALONE = {"demo", "doctor", "run", "sim", "tape fetch", "top", "train", "upgrade", "windows", "honesty"}
STRATEGY = """from papertape.engine import Decision
from papertape.engine.records import LONG


class Breakout:
    features = ("donchian_48", "atr_14")

    def decide(self, view):
        atr = view["atr_14"]
        if view.position == 0 and view.close > view["donchian_48_upper"] - 0.5 * atr:
            return Decision(LONG, stop_distance=3 * atr)
        return None
"""


def leaves(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ROOT_COMMAND = typer.main.get_command(make_app())
COMMANDS = dict(leaves(ROOT_COMMAND))


def example(command: Any) -> str:
    """Return the one line behind `Example:`."""
    found = re.findall(r"Example: (papertape .+)", command.help or "")
    assert len(found) == 1, command.name
    return str(found[0])


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_one_that_the_command_takes(name: str) -> None:
    words = shlex.split(example(COMMANDS[name]).partition(" > ")[0])
    depth = len(name.split()) + 1

    assert " ".join(words[1:depth]) == name
    assert COMMANDS[name].make_context(name, words[depth:])


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with what the examples name, beside an empty store: a new user's, where BTCUSDT is the sample."""
    (tmp_path / "deploy").symlink_to(Path(__file__).resolve().parents[1] / "deploy")
    (tmp_path / "my_signals.py").write_text(STRATEGY)
    return tmp_path


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with the files and tapes that the examples of `tape` name."""
    candles = random_candles(3_000, 1, "1m")
    Store(tmp_path / "tapes").save(Tape(candles, "binance-usdm", "BTCUSDT", "1m", source="a test"))
    rows = [
        f"{START_MS + 3_600_000 * i},100.00000000,101.00000000,99.00000000,100.5,2.00000000,"
        f"{START_MS + 3_600_000 * (i + 1) - 1},200.00000000,3,1.0,100.0,0"
        for i in range(100)
    ]
    with zipfile.ZipFile(tmp_path / "BTCUSDT-1h-2024-01.zip", "w") as packed:
        packed.writestr("BTCUSDT-1h-2024-01.csv", "\n".join(rows))
    (tmp_path / "downloads").mkdir()
    kraken = [f"{START_MS // 1000 + 3600 * i},100,101,99,100.5,2.5,7" for i in range(100)]
    (tmp_path / "downloads" / "XBTUSD_60.csv").write_text("\n".join(kraken))
    return tmp_path


def test_the_examples_of_tapes_work(files: Path, inside: Inside) -> None:
    for name in ("tape check", "tape resample", "tape import", "tape synth", "tape list"):
        words = shlex.split(example(COMMANDS[name]))[1:]
        named = [found for word in words for found in sorted(files.glob(word)) or [word]]
        done = inside(*map(str, named), cwd=files)

        assert done.returncode == 0, f"{name}\n{done.stdout}{done.stderr}"


@pytest.mark.slow
def test_the_other_examples_work_one_after_the_other(place: Path, inside: Inside) -> None:
    """
    Those that others need come first: what is replayed is verified, `models compare 3 4` names what was fitted.

    What locks candles comes last, for no other command reads them then.
    """
    first = ("replay", "config init", "models fit", "models fit", "models fit", "models fit")
    last = ("trials lock",)
    others = sorted(set(COMMANDS) - NOT_ALONE - {*first, *last})
    named = [name for name in [*first, *others, *last] if not name.startswith(("tape", "journal", "ctl "))]
    commands = [example(COMMANDS[name]) for name in named]
    # `rollback` goes back to the champion before `models promote 3`.
    commands.insert(len(first), "papertape models promote 2")
    for command in commands:
        typed, _, file = command.replace("results/latest", "results/cross").partition(" > ")
        done = inside(*shlex.split(typed)[1:], cwd=place)

        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        if file:
            (place / file).write_text(done.stdout, encoding="utf-8")
