"""A trial is what its replay is, whatever number of processes, order, kill or full disk comes between."""

import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from papertape import FLAT, LONG, Decision, backtest, parameter, sweep
from papertape.engine.errors import ConfigError, DataError, InvariantError
from papertape.replay.research.sweep import record
from papertape.replay.research.sweep import run as sweep_run
from papertape.replay.research.sweep.record import TrialFile
from papertape.replay.research.sweep.result import SweepResult
from papertape.replay.research.sweep.trial import TrialRow
from papertape.replay.tapes.store import Store, Tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside

QUIET = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}
GRID = {
    "strategy.parameters.fast": [5, 10, 20],
    "strategy.parameters.slow": [15, 40],
    "market.taker_fee_rate": [0.0, 0.001],
}


class Dip:
    """Buys after a fall: a strategy in Python with a parameter."""

    features = ("rsi_14",)
    below: float = parameter(35.0, low=10.0, high=60.0)

    def decide(self, view):  # type: ignore[no-untyped-def]
        if view.position == 0:
            return Decision(LONG, stop_distance=0.02 * view.close) if view["rsi_14"] < self.below else None
        return Decision(FLAT) if view["rsi_14"] > 100.0 - self.below else None


def tape(rows: int = 600, symbol: str = "SYNTH") -> Tape:
    return synthesize("regimes", rows, "1h", seed=len(symbol) + ord(symbol[0]), symbol=symbol)


def plain(found: SweepResult) -> pd.DataFrame:
    return found.table.drop(columns="wall_s")


def cross(out: Path, workers: int = 1, **more: object) -> SweepResult:
    return sweep(
        GRID,
        tape(),
        strategy="ema_cross",
        account={"sizing": "all_in"},
        out=out,
        workers=workers,
        **QUIET,
        **more,
    )


def test_every_trial_is_its_replay(tmp_path: Path) -> None:
    found = cross(tmp_path / "a", 2)

    assert found.counts == {"done": 10, "refused": 2}
    for row in found.table.itertuples():
        fast, slow, fee = row[2], row[3], row[4]
        if row.outcome == "refused":
            assert fast >= slow
            assert row.reason.startswith("strategy.fast: 20 is not between 1 and slow")
            continue
        alone = backtest(
            tape(),
            strategy="ema_cross",
            parameters={"fast": fast, "slow": slow},
            account={"sizing": "all_in"},
            market={"taker_fee_rate": fee},
            **QUIET,
        )
        assert row.digest == alone.digest
        for name, value in alone.metrics.items():
            told = getattr(row, name)
            assert told == value or (value is None and pd.isna(told)), name
    assert len(found.checked) == 3


def test_it_says_what_its_candles_are_as_a_replay_does(tmp_path: Path) -> None:
    whole = tape()
    holes = Tape(whole.candles[np.r_[:200, 230:600]], whole.venue, "SYNTH", "1h")
    grid = {"strategy.parameters.fast": [5, 10], "account.allow_short": [True]}

    found = sweep(
        grid,
        holes,
        strategy="ema_cross",
        market={"kind": "perpetual"},
        by="total_return",
        out=tmp_path / "a",
        workers=1,
        **QUIET,
    )
    alone = backtest(holes, strategy="ema_cross", market={"kind": "perpetual"}, **QUIET)

    assert found.doubts[0].startswith("SYNTHETIC DATA")
    assert "SYNTH: flagged candles: 570 synthetic." in found.doubts
    absent = "30 of 600 candles were not recorded and stand as absent: flat, flag 2, no fills."
    assert f"SYNTH: {absent}" in found.doubts
    assert absent in alone.summary["warnings"]
    assert any(line.startswith("No funding is included") for line in found.doubts)
    said = [line for line in alone.summary["warnings"] if "absent" not in line]
    assert set(said) <= set(found.doubts)
    assert found.page is not None
    assert "SYNTHETIC DATA" in found.page.read_text()
    assert found.to_json()["data_doubts"] == found.doubts[: len(found.data_doubts)]


def test_it_says_what_its_candles_are_where_no_trial_has_a_value(tmp_path: Path) -> None:
    """Two averages that cross at no close of the tape: nothing is traded, and without a trade there is no profit factor."""
    candles = tape().candles.copy()
    for name in ("open", "high", "low", "close"):
        candles[name] = 100.0
    flat = Tape(candles, "synthetic", "SYNTH", "1h")
    grid = {"strategy.parameters.fast": [5, 10]}

    found = sweep(
        grid, flat, strategy="ema_cross", by="profit_factor", out=tmp_path / "a", workers=1, **QUIET
    )

    assert (found.counts, found.first) == ({"done": 2}, None)
    assert found.doubts[0].startswith("SYNTHETIC DATA")
    assert found.doubts == list(found.data_doubts) == found.to_json()["data_doubts"]


def test_any_number_of_processes_finds_the_same(tmp_path: Path) -> None:
    found = [plain(cross(tmp_path / str(workers), workers)) for workers in (1, 2, 8)]

    for other in found[1:]:
        pd.testing.assert_frame_equal(found[0], other)


def test_a_class_in_python_is_swept_over_several_tapes(tmp_path: Path) -> None:
    store = Store(tmp_path / "tapes")
    for symbol in ("AAA", "BBB"):
        store.save(tape(300, symbol))
    grid = {"data.tapes": ["AAA", "BBB"], "strategy.parameters.below": [30.0, 45.0]}

    found = sweep(grid, "AAA", strategy=Dip, store=store.directory, out=tmp_path / "a", **QUIET)

    rows = found.table
    assert list(rows["data.tapes"]) == ["AAA", "AAA", "BBB", "BBB"]
    for row, (name, below) in zip(
        rows.itertuples(), [(n, b) for n in ("AAA", "BBB") for b in (30.0, 45.0)], strict=True
    ):
        alone = backtest(name, strategy=Dip, parameters={"below": below}, store=store.directory, **QUIET)
        assert row.digest == alone.digest
    assert rows["digest"].nunique() == 4


def test_the_best_are_the_best_of_the_table(tmp_path: Path) -> None:
    found = cross(tmp_path / "a", by="max_drawdown", top=3)

    done = found.table.dropna(subset="max_drawdown")
    ordered = done.sort_values(["max_drawdown", "number"], ascending=[False, True])
    assert [row.number for row in found.best] == list(ordered["number"][:3])


def test_a_sweep_goes_on_where_it_was_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cross(tmp_path / "whole")
    file = tmp_path / "part" / "trials.jsonl"
    cross(file.parent)
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:5]) + lines[5][:40])  # killed in the middle of a line
    kept = lines[1:5]

    again = cross(file.parent)

    now = file.read_bytes().splitlines(keepends=True)
    assert now[1:5] == kept
    assert sorted(json.loads(line)["number"] for line in now[1:]) == list(range(12))
    pd.testing.assert_frame_equal(plain(again), plain(whole))
    # Nothing is left to do: no trial runs.
    monkeypatch.setattr(sweep_run.TrialRunner, "run", lambda *_: pytest.fail("a trial ran twice"))
    assert cross(file.parent).counts == whole.counts


def test_a_finished_trial_is_found_again_by_its_number(tmp_path: Path) -> None:
    found = cross(tmp_path / "a", 2)

    with TrialFile(tmp_path / "a", {}, 12) as file:
        rows = list(file.rows())
        done = [row.number for row in rows if row.outcome == "done"]

        assert 0 < len(done) < len(rows) == found.size
        assert file.that_were_done() == sorted(done)
        assert [file.row(row.number) for row in rows] == rows


def test_an_interrupt_keeps_what_is_done(tmp_path: Path) -> None:
    def stop(what: str, done: int, of: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    found = cross(tmp_path / "a", 2, progress=stop)

    assert (found.left, len(found.table), found.checked) == (8, 4, [])
    pd.testing.assert_frame_equal(plain(cross(tmp_path / "a")), plain(cross(tmp_path / "b")))


def test_a_trial_that_is_not_its_replay_ends_the_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sweep_run.TrialRunner.run

    def wrong(self: sweep_run.TrialRunner, number: int, changes: dict[str, object]) -> TrialRow:
        return run(self, number, {**changes, "strategy.parameters.slow": 41})

    monkeypatch.setattr(sweep_run.TrialRunner, "run", wrong)

    # The table is written while the check runs: it lay there like any other.
    found = "none of these trials can be trusted; what was written is called untrusted-trials.parquet in .*a$"
    with pytest.raises(InvariantError, match=found):
        cross(tmp_path / "a")
    kept = {path.name for path in (tmp_path / "a").iterdir()}
    assert "untrusted-trials.parquet" in kept
    assert not kept & {"trials.parquet", "report.html"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text.replace('"format": 1', '"format": 2', 1), "format 2 is newer than 1"),
        (lambda text: "x" + text, "its first line names no sweep"),
        (lambda text: text.replace('"number":3', '"number":2', 1), "trial 2 stands in it twice"),
        (lambda text: text.replace('"number":3', '"number":99', 1), "damaged before byte"),
        (
            lambda text: text.replace('"value', '"', 1).replace("[5, 10, 20]", "[5, 10, 21]", 1),
            "another search",
        ),
    ],
)
def test_a_file_that_cannot_be_gone_on_with(tmp_path: Path, change, said: str) -> None:  # type: ignore[no-untyped-def]
    cross(tmp_path / "a")
    file = tmp_path / "a" / "trials.jsonl"
    changed = change(file.read_text())
    file.write_text(changed)

    with pytest.raises(DataError, match=said):
        cross(tmp_path / "a")
    assert file.read_text() == changed


@pytest.mark.parametrize(
    ("more", "error"),
    [({"by": "sharp"}, ConfigError), ({"workers": 0}, ConfigError), ({"lmit": 5}, ConfigError)],
)
def test_nothing_is_begun_for_options_that_mean_nothing(
    tmp_path: Path, more: dict[str, object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        sweep(GRID, tape(), strategy="ema_cross", out=tmp_path / "a", **{**QUIET, **more})

    assert not (tmp_path / "a").exists()


SLOW = """
import time
from papertape import Decision, LONG, parameter

class Slow:
    features = ("atr_14",)
    bars: int = parameter(5, low=1, high=50)
    def decide(self, view):
        time.sleep(0.0005)
        if view.position == 0 and int(view.time_ms / 3_600_000) % self.bars == 0:
            return Decision(LONG, stop_distance=0.01 * view.close)
"""


@pytest.fixture
def slow(tmp_path: Path) -> list[str]:
    (tmp_path / "slowly.py").write_text(SLOW)
    Store(tmp_path / "tapes").save(tape(300))
    return [
        "sweep", "--tape", "SYNTH", "--set", "strategy.name=slowly:Slow", "--set", "signals.use_ml=false",
        "--grid", "strategy.parameters.bars=1:16:1", "--out", "found", "--workers", "2",
    ]  # fmt: skip


@pytest.mark.slow
def test_no_trial_is_lost_or_run_twice_when_it_is_killed(
    tmp_path: Path, slow: list[str], inside: Inside
) -> None:
    file = tmp_path / "found" / "trials.jsonl"
    command = [str(Path(sys.executable).parent / "papertape"), *slow]
    seen = 0
    for _ in range(2):
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
        limit_s = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < limit_s:
            if file.exists() and file.read_bytes().count(b"\n") > seen + 3:
                process.kill()
                break
            time.sleep(0.005)
        process.wait()
        seen = file.read_bytes().count(b"\n")
        assert 0 < seen < 17

    ended = inside(*slow, cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert "16 trials: 16 done" in ended.stdout
    numbers = [json.loads(line)["number"] for line in file.read_bytes().splitlines()[1:]]
    assert sorted(numbers) == list(range(16))


@pytest.mark.slow
def test_a_full_disk_leaves_what_was_done(tmp_path: Path, slow: list[str], inside: Inside) -> None:
    file = tmp_path / "found" / "trials.jsonl"
    command = " ".join([str(Path(sys.executable).parent / "papertape"), *slow])
    # What this process writes ends at 12 KiB, in the middle of a line.
    ended = subprocess.run(
        ["/bin/bash", "-c", f"ulimit -f 12; exec {command}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert "a trial could not be kept" in ended.stderr
    kept = file.read_bytes()
    assert kept.endswith(b"\n")
    assert 2 <= kept.count(b"\n") < 17

    assert inside(*slow, cwd=tmp_path).returncode == 0
    assert file.read_bytes().startswith(kept)


def test_a_folder_is_written_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_PATIENCE_S", 0.0)

    def again(what: str, done: int, of: int) -> None:
        if (what, done) == ("trials", 12):
            with pytest.raises(DataError, match="another process writes trials there"):
                cross(tmp_path / "a")

    cross(tmp_path / "a", progress=again)


def test_what_a_killed_command_held_is_waited_for(tmp_path: Path) -> None:
    # A worker has what was open, and ends a moment after the command.
    asleep = [sys.executable, "-c", "import time; time.sleep(0.3)"]
    with TrialFile(tmp_path, {}, 1) as held:
        worker = subprocess.Popen(asleep, pass_fds=[held._file.fileno()])

    TrialFile(tmp_path, {}, 1).close()

    assert worker.wait(5) == 0
