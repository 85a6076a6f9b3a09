"""The command line as a user meets it: tables, JSON, one clear sentence and an exit code when something is wrong."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from papertape.daemon.cli import app
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside

ROOT = Path(__file__).resolve().parents[3]


def papertape(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a user does; the others run inside the test."""
    return subprocess.run(
        [sys.executable, "-m", "papertape.daemon.cli", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# A replay as these tests want it: whatever is said of files and codes holds with and without training.
UNTRAINED = ("replay", "--tape", "SYNTH", "--set", "signals.retrain_every=never")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working folder whose store holds one synthetic tape."""
    Store(tmp_path / "tapes").save(synthesize("regimes", 3_000, "1h", seed=4))
    return tmp_path


def test_replay_prints_a_table_and_writes_a_result_that_verifies(folder: Path, inside: Inside) -> None:
    quick = ("--set", "signals.model=logistic")
    done = papertape("replay", "--tape", "SYNTH", "--out", "out", *quick, cwd=folder)

    assert done.returncode == 0, done.stderr
    for told in (
        "total return",
        "retraining",
        "not met: log loss below majority",
        "until the next retraining, not seen in training",
        "Sharpe",
        "costs ×2",
        "SYNTHETIC DATA",
        "digest",
        "out/report.html",
    ):
        assert told in done.stdout
    assert {path.name for path in (folder / "out").iterdir()} == {
        "result.json",
        "trades.parquet",
        "equity.parquet",
        "fills.parquet",
        "decisions.parquet",
        "report.html",
    }

    verified = inside("verify", "out", cwd=folder)
    assert verified.returncode == 0, verified.stdout
    assert verified.stdout.startswith("equal: decisions, fills, trades, equity, result.json")

    data = bytearray((folder / "out/decisions.parquet").read_bytes())
    data[len(data) // 3] ^= 4
    (folder / "out/decisions.parquet").write_bytes(data)
    broken = inside("verify", "out", cwd=folder)
    assert broken.returncode == 1
    assert "decisions.parquet" in broken.stdout


def test_json_is_one_document_and_equals_the_file(folder: Path, inside: Inside) -> None:
    done = inside(*UNTRAINED, "--out", "out", "--json", cwd=folder)

    assert json.loads(done.stdout) == json.loads((folder / "out/result.json").read_text())


def test_a_sweep_of_trials_without_any_trade_says_where_the_reason_is(folder: Path, inside: Inside) -> None:
    # Sizing by risk, the default, needs a stop, and these averages have none: every entry is refused.
    done = inside(
        *("sweep", "--tape", "SYNTH", "--set", "strategy.name=ema_cross", "--set", "signals.use_ml=false"),
        *("--grid", "strategy.parameters.fast=5,6", "--workers", "1", "--out", "none"),
        cwd=folder,
    )

    assert done.returncode == 0
    told = " ".join(done.stdout.split())
    assert "None of the 2 trials that were tried has a value to rank it by; a replay" in told


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("replay", "--tape", "NOPE"), 1, "NOPE"),
        (("replay", "none.toml"), 1, "No such file"),
        (("replay", "--tape", "SYNTH", "--set", "account.capitol=1"), 1, "did you mean 'capital'"),
        (("replay", "--tape", "SYNTH", "--set", "strategy.name=x:y"), 1, "cannot be imported"),
        (("replay", "--tape", "SYNTH", "--set", "data.start=2040-01-01"), 1, "no candle between"),
        (("replay", "--nonsense"), 2, "No such option"),
        (
            (
                "sweep",
                "--tape",
                "SYNTH",
                "--set",
                "strategy.name=ema_cross",
                "--grid",
                "strategy.parameters.fast=5,6",
                "--out",
                "",
            ),
            1,
            "--out '.': name a folder of its own",
        ),
        (("montecarlo", "--tape", "SYNTH", "--out", "."), 1, "--out '.': name a folder of its own"),
        (("prove",), 1, "name a --strategy or a --feature"),
        (("prove", "--feature", "ema_0"), 1, "not between 1 and 5000"),
        (("prove", "--feature", "BTC/USDT:USDT:ema_12:first@4h"), 1, "write ema_12:first, or prove"),
        (("verify", "nowhere"), 1, "not a result folder"),
        (("config", "check", "none.toml"), 1, "No such file"),
        (("tape", "check", "none.csv"), 1, "none.csv"),
    ],
)
def test_wrong_input_is_one_sentence_and_a_code(
    folder: Path, arguments: tuple[str, ...], code: int, told: str, inside: Inside
) -> None:
    done = inside(*arguments, cwd=folder)

    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()


def test_unwritable_place_is_one_sentence(folder: Path, inside: Inside) -> None:
    (folder / "file").write_text("in the way")

    done = inside(*UNTRAINED, "--out", "file/out", cwd=folder)

    assert done.returncode == 1
    assert "could not be written" in done.stderr


def test_prove_takes_a_tape_of_every_symbol_that_a_strategy_reads(folder: Path, inside: Inside) -> None:
    Store(folder / "tapes").save(synthesize("regimes", 600, "1h", seed=5, symbol="AAA"))
    asked = ("prove", "--strategy", "tests.support.pair:Pair", "--candles", "200", "--cuts", "2")

    pair = inside(*asked, "--tape", "SYNTH", "--tape", "AAA", cwd=folder)
    alone = inside(*asked, "--tape", "SYNTH", cwd=folder)

    assert pair.returncode == 0, pair.stderr
    assert pair.stdout.startswith("ok   strategy tests.support.pair:Pair: ")
    assert alone.returncode == 1
    assert "'AAA:close': AAA is not among the symbols of this run" in alone.stderr


def test_prove_says_ok_and_finds_a_leak(folder: Path, inside: Inside) -> None:
    (folder / "mine.py").write_text("def peek(candles):\n    return candles['close'].shift(-1)\n")

    honest = inside("prove", "--feature", "rsi_14", "--candles", "200", "--cuts", "4", cwd=folder)
    leaking = inside("prove", "--feature", "mine:peek", "--candles", "200", cwd=folder)

    assert honest.returncode == 0, honest.stderr
    assert honest.stdout.startswith("ok   feature rsi_14: ")
    assert leaking.returncode == 1
    assert leaking.stdout.startswith("LEAK feature mine:peek: ")


def test_every_command_has_help_with_an_example() -> None:
    commands = [
        ("demo",),
        ("replay",),
        ("verify",),
        ("prove",),
        ("config", "check"),
        ("config", "schema"),
        *(("tape", name) for name in ("import", "check", "list", "resample", "synth")),
    ]
    for command in commands:
        done = CliRunner().invoke(app, [*command, "--help"])

        assert done.exit_code == 0
        assert f"papertape {' '.join(command)}" in done.stdout.split("Example", 1)[1], command


def test_example_configurations_are_fine_and_run(folder: Path, inside: Inside) -> None:
    for path in sorted((ROOT / "deploy").glob("*.toml")):
        checked = inside("config", "check", str(path), cwd=folder)
        assert checked.returncode == 0, checked.stderr
        if path.name.startswith(("run-", "demo-live")):
            continue  # of the daemon
        quick = ("--set", "signals.retrain_every=never")
        ran = inside("replay", str(path), "--out", path.stem, *quick, cwd=folder)
        assert ran.returncode == 0, ran.stderr


def test_schema_is_json(folder: Path, inside: Inside) -> None:
    schema = json.loads(inside("config", "schema", cwd=folder).stdout)

    assert {"data", "account", "strategy"} <= set(schema["properties"])


SLOW = """
import time

class Slow:
    features = ()

    def decide(self, view):
        with open("began", "a") as counted:
            counted.write(".")
        time.sleep(0.01)
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_killing_a_replay_leaves_nothing_that_could_be_taken_for_a_result(
    folder: Path, number: signal.Signals, code: int
) -> None:
    (folder / "slow.py").write_text(SLOW)
    arguments = ["replay", "--tape", "SYNTH", "--set", "strategy.name=slow:Slow", "--out", "out/x"]
    process = subprocess.Popen(
        [sys.executable, "-m", "papertape.daemon.cli", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (folder / "began").exists():
        assert process.poll() is None, process.stderr

    process.send_signal(number)
    told = process.communicate(timeout=60)[1]

    assert process.returncode == code
    assert "Traceback" not in told
    assert number == signal.SIGKILL or "nothing was written" in told
    assert not (folder / "out").exists()
    assert len((folder / "began").read_text()) < 2_000, "it ended there, not behind the candles"


KILLED_WHILE_SAVING = """
import os, signal, sys
from pathlib import Path
from papertape.daemon.cli import main
Path.write_text = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)
sys.argv = ["papertape", "replay", "--tape", "SYNTH", "--set", "signals.retrain_every=never", "--out", "out/x"]
main()
"""


def test_a_kill_while_saving_leaves_the_old_result_and_the_next_run_tidies_up(
    folder: Path, inside: Inside
) -> None:
    again = (*UNTRAINED, "--out", "out/x")
    assert inside(*again, cwd=folder).returncode == 0
    before = (folder / "out/x/result.json").read_bytes()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_SAVING],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=120,
    )

    assert killed.returncode == -signal.SIGKILL
    assert (folder / "out/x/result.json").read_bytes() == before
    assert len(list((folder / "out").iterdir())) == 2  # the result and what was begun
    assert inside(*again, cwd=folder).returncode == 0
    assert [path.name for path in (folder / "out").iterdir()] == ["x"]


def test_a_full_disk_is_one_sentence_and_the_old_result_stays(folder: Path, inside: Inside) -> None:
    """A limit on the size of files stands in for the disk: the kernel refuses the same write."""
    again = (*UNTRAINED, "--out", "out/x")
    assert inside(*again, cwd=folder).returncode == 0
    before = (folder / "out/x/result.json").read_bytes()

    full = subprocess.run(
        ["/bin/sh", "-c", f'ulimit -f 20; exec "{sys.executable}" -m papertape.daemon.cli {" ".join(again)}'],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )

    assert full.returncode == 1
    assert "could not be written" in full.stderr
    assert "Traceback" not in full.stderr
    assert (folder / "out/x/result.json").read_bytes() == before
