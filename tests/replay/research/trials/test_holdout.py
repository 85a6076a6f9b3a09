"""What is held out is read once, by one configuration, whatever the tape is called and whoever asks first."""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape import backtest, hold_out, montecarlo, sweep, walkforward, windows
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.backtesting.verify import verify
from papertape.replay.research.trials.holdout import READ, day_marks, locked
from papertape.replay.research.trials.ledger import link, opened
from papertape.replay.research.trials.recording import standing_faults
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.store import Store, Tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside
from tests.support.deaths import forked

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}
CROSS: dict[str, Any] = {"strategy": "ema_cross", "account": {"sizing": "all_in"}, **QUIET}
DAY_MS = 86_400_000
LOCK = "2020-02-10"  # of fifty days from 2020-01-01 on: the last ten


def tape(rows: int = 1_200, seed: int = 5) -> Tape:
    """The first so many of 1,400 candles."""
    whole = synthesize("regimes", 1_400, "1h", seed=seed)
    return replace(whole, candles=whole.candles[:rows])


def cross(fast: int = 5, data: Tape | None = None, **more: Any) -> Any:
    return backtest(data or tape(), parameters={"fast": fast}, **CROSS, **more)


def grid(**more: Any) -> dict[str, Any]:
    return {"strategy.parameters.fast": [5, 8], **more}


def test_days_are_marked_by_their_open_high_low_and_close() -> None:
    """The same by pandas: a candle of a day each, of whole days and the part of one."""
    own = tape(60)
    days = own.table().resample("1D").agg({"open": "first", "high": "max", "low": "min", "close": "last"})
    expected = []
    for stamp, row in days.iterrows():
        day = int(stamp.timestamp() * 1000) // DAY_MS
        packed = np.array([day], "<i8").tobytes() + row.to_numpy("<f8").tobytes()
        expected.append(int.from_bytes(hashlib.sha256(packed).digest()[:8], "little"))

    assert day_marks(own).tolist() == expected
    flat = own.candles.copy()
    for name in ("open", "high", "low", "close"):
        flat[name] = 1.0
    assert day_marks(replace(own, candles=flat)).tolist() == []  # told from nothing else


def test_every_search_refuses_what_is_held_out_and_reads_what_is_not(tmp_path: Path) -> None:
    lock = hold_out(LOCK, tape())
    said = r'SYNTH: its candles from 2020-02-10 00:00 on are held out \(row 1 of the trial ledger\); .*data\.end = "2020-02-09 23:59"; or read them once'
    windows = {"train": "20d", "test": "10d", "purge": "1d"}

    with pytest.raises(DataError, match=said):
        cross()
    with pytest.raises(DataError, match=said):
        sweep(grid(), tape(), out=tmp_path / "a", workers=1, **CROSS)
    with pytest.raises(DataError, match=said):
        walkforward(grid(), tape(), out=tmp_path / "b", workers=1, **windows, **CROSS)
    with pytest.raises(DataError, match=said):
        montecarlo(data=tape(), markets=2, workers=1, **CROSS)

    assert lock.reading is None
    assert not (tmp_path / "a").exists()
    before = {"end": "2020-02-09", **CROSS}
    assert sweep(grid(), tape(), out=tmp_path / "c", workers=1, **before).counts == {"done": 2}
    assert backtest(tape(), **before).metrics["days"] == 40
    cross(data=tape(seed=6))  # another market is free


def test_a_search_refuses_with_optuna(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    from papertape import optimize

    hold_out(LOCK, tape())
    with pytest.raises(DataError, match="are held out"):
        optimize(
            {"strategy.parameters.fast": "2:10"}, tape(), trials=4, out=tmp_path / "a", workers=1, **CROSS
        )


def test_trials_that_vary_their_end_are_refused_one_by_one(tmp_path: Path) -> None:
    hold_out(LOCK, tape())

    found = sweep(
        grid(**{"data.end": ["2020-02-05", "2020-02-15"]}), tape(), out=tmp_path / "a", workers=2, **CROSS
    )

    assert found.counts == {"done": 2, "refused": 2}
    assert "are held out" in found.reasons["refused"]


def test_no_name_cut_or_timeframe_hides_a_market(tmp_path: Path) -> None:
    hold_out(LOCK, tape())
    longer = tape(1_400)
    assert (longer.candles["close"][:1_200] == tape().candles["close"]).all()
    louder = tape().candles.copy()
    louder["volume"] *= 2.0
    others = {
        "renamed": replace(tape(), symbol="OTHER", venue="elsewhere"),
        "gone on with": longer,
        "only what came after, and a day": longer.between("2020-02-19"),
        "cut in front": tape().between("2020-02-12"),
        "other volume": replace(tape(), candles=louder),
        "coarser": resample(tape(), "4h"),
    }

    for how, other in others.items():
        with pytest.raises(DataError, match="are held out"):
            cross(data=other)
        assert other.sha256 != tape().sha256 or how == "renamed"


def test_one_configuration_reads_it_and_the_chain_says_so(tmp_path: Path) -> None:
    cross(8, end="2020-02-09")
    cross(13)  # has seen all of it
    hold_out(LOCK, tape())

    found = cross(5, holdout=True)

    (lock,) = locked()
    assert lock.seen == 1
    assert lock.reading is not None
    assert found.summary["holdout"][0]["reading"]["sequence"] == lock.reading.sequence == 4
    assert any(
        "the one reading of the candles of SYNTH from 2020-02-10 00:00 on" in line
        and "1 trial on record, on this very tape, had seen" in line
        for line in found.summary["doubts"]
    )
    with opened() as ledger:
        entries = {entry.kind: entry for entry in ledger.on(tape().sha256)}
        assert ledger.faults() == []
        assert ledger.head().sequence == 5
    assert entries[READ].digest == found.digest
    assert entries[READ].configuration == lock.reading.configuration
    assert entries[READ].metrics["sharpe"] == found.metrics["sharpe"]
    folder = found.save(tmp_path / "result")
    assert verify(folder, [tape()]).differences == ()
    assert standing_faults(found.summary) == ([], "")

    assert cross(5, holdout=True).digest == found.digest  # it shows what it showed
    with pytest.raises(
        DataError, match=f"read on .* by configuration {lock.reading.configuration[:12]}, and are read once"
    ):
        cross(8, holdout=True)
    with pytest.raises(DataError, match="read once"):
        cross(5)  # not without saying so, either
    with pytest.raises(DataError, match="read once"):
        cross(5, data=tape(1_400), holdout=True)  # more of it than was read
    with pytest.raises(ConfigError, match="nothing that this replay reads is held out"):
        cross(5, end="2020-02-09", holdout=True)


def test_a_reading_that_was_killed_is_gone_on_with_by_its_configuration_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hold_out(LOCK, tape())
    with monkeypatch.context() as patch:
        patch.setattr("papertape.replay.front.backtest.run_backtest", lambda *_: os._exit(9))
        pid = forked(partial(cross, 5, holdout=True))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) != 0

    with pytest.raises(DataError, match="read once"):
        cross(8, holdout=True)
    assert cross(5, holdout=True).summary["trials"]["trials"] == 1


def test_a_lock_is_never_loosened() -> None:
    hold_out(LOCK, tape())
    for looser in (LOCK, "2020-02-15"):
        with pytest.raises(DataError, match="until they are read a lock can only begin earlier"):
            hold_out(looser, tape())
    hold_out("2020-02-01", tape(1_400))  # the newest holds for both
    with pytest.raises(DataError, match="from 2020-02-01"):
        cross(end="2020-02-05")
    cross(5, holdout=True)

    with pytest.raises(
        DataError, match="candles up to 2020-02-19 23:00 were read already; hold out what comes after"
    ):
        hold_out("2020-02-19", tape(1_400))
    hold_out("2020-02-20", tape(1_400))

    assert [lock.reading is not None for lock in locked()] == [False, True, False]
    assert cross(8).metrics["days"] == 50  # what was read is a candle like others
    with pytest.raises(DataError, match="from 2020-02-20"):
        cross(8, data=tape(1_400))


def test_what_cannot_be_locked_is_refused() -> None:
    with pytest.raises(DataError, match="its first candle is of 2020-01-01 00:00"):
        hold_out("2020-01-01", tape())
    with pytest.raises(DataError, match="2 tapes; lock one at a time"):
        hold_out(LOCK, [tape(), replace(tape(), symbol="OTHER")])
    flat = tape().candles.copy()
    for name in ("open", "high", "low", "close"):
        flat[name] = 1.0
    with pytest.raises(DataError, match="never moved"):
        hold_out(LOCK, replace(tape(), candles=flat))
    assert locked() == []


def test_a_ledger_that_is_there_and_cannot_be_read_is_no_open_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold_out(LOCK, tape())
    with opened() as ledger:
        content, where = ledger.path.read_bytes(), ledger.path
    where.write_bytes(b"scribble" + content[8:])
    for read in (locked, partial(cross, 5)):
        with pytest.raises(DataError, match="it is no trial ledger"):
            read()
    where.write_bytes(content)
    with closing(sqlite3.connect(where)) as file:
        file.execute("PRAGMA user_version = 99")
    with pytest.raises(DataError, match="format 99 is newer"):
        locked()

    where.write_bytes(b"")  # begun, and nothing is in it
    assert locked() == []
    for place in ("off", str(tmp_path / "nowhere" / "none.sqlite3"), str(where / "none.sqlite3")):
        monkeypatch.setenv("PAPERTAPE_TRIALS", place)
        assert locked() == []


def test_windows_are_not_compared_on_what_is_held_out() -> None:
    hold_out(LOCK, tape())

    with pytest.raises(DataError, match="are held out"):
        windows(tape(), retrain_every="1d")


def test_of_two_at_once_one_reads(tmp_path: Path) -> None:
    """Both look before either has claimed: a barrier of two files holds them together until both are there."""
    hold_out(LOCK, tape())

    def read(fast: int) -> None:
        digest = cross(fast, holdout=True).digest
        (tmp_path / f"{fast}").write_text(digest)

    pids = [forked(partial(read, fast)) for fast in (5, 8)]
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]

    assert sorted(codes) == [0, 1]
    assert len(list(tmp_path.iterdir())) == 1
    with opened() as ledger:
        assert [note.content["kind"] for note in ledger.notes()] == ["lock", "reading"]
        assert ledger.faults() == []


def later(file: sqlite3.Connection) -> None:
    """Move a lock to a later time and hash its row anew, as somebody would who knows how the chain is made."""
    import zlib

    before, (body,) = (
        file.execute(f"SELECT {what} FROM trials WHERE sequence = {row}").fetchone()  # noqa: S608
        for what, row in (("hash", 1), ("body", 2))
    )
    content = json.loads(zlib.decompress(body))
    content["start_ms"] += 20 * DAY_MS
    made = zlib.compress(json.dumps(content, separators=(",", ":")).encode())
    file.execute("UPDATE trials SET body = ?, hash = ? WHERE sequence = 2", (made, link(before[0], 2, made)))


@pytest.mark.parametrize(
    ("change", "said", "is_held"),
    [
        ("DELETE FROM notes WHERE sequence = 2", "the list of locks and readings was changed", True),
        ("DELETE FROM notes", "the list of locks and readings was changed", False),
        ("DELETE FROM trials WHERE sequence = 2", "trial 2 is missing", True),
        (
            "UPDATE trials SET body = (SELECT body FROM trials WHERE sequence = 3) WHERE sequence = 2",
            "trial 2 was changed",
            True,
        ),
        ("DELETE FROM notes WHERE sequence = 4", "the list of locks and readings was changed", True),
        (later, "trial 3 was changed, or what is before it was", False),
    ],
)
def test_the_chain_notices_what_is_done_to_a_lock(
    change: str | Callable[[sqlite3.Connection], None], said: str, is_held: bool, trials: Path
) -> None:
    """A lock that cannot be trusted holds everything; one that is not listed holds nothing, and only verifying says so."""
    cross(8, end="2020-02-09")
    hold_out(LOCK, tape())
    cross(13, end="2020-02-09")
    cross(5, holdout=True)
    with sqlite3.connect(trials) as file:
        file.executescript(change) if isinstance(change, str) else change(file)
    file.close()

    with opened() as ledger:
        assert said in ledger.faults()[0]
    if is_held:
        with pytest.raises(DataError, match=r"are held out|see papertape trials verify"):
            cross(21)
    else:
        cross(21)


def test_a_ledger_without_locks_has_no_notes(trials: Path) -> None:
    cross(8)
    with opened() as ledger:
        assert (ledger.notes(), ledger.faults()) == ([], [])

    hold_out(LOCK, tape())

    with opened() as ledger:
        assert (len(ledger.notes()), ledger.faults()) == (1, [])


def test_commands_lock_list_and_read_once(inside: Inside, tmp_path: Path) -> None:
    Store(tmp_path / "tapes").save(tape())
    quiet = [
        "--tape",
        "SYNTH",
        "--set",
        "strategy.name=ema_cross",
        "--set",
        "signals.use_ml=false",
        "--set",
        "report.sensitivity=false",
    ]

    made = inside("trials", "lock", "SYNTH", "--from", LOCK, cwd=tmp_path)
    refused = inside("replay", *quiet, cwd=tmp_path)
    read = inside("replay", *quiet, "--holdout", cwd=tmp_path)
    again = inside("replay", *quiet, "--holdout", "--set", "account.sizing=all_in", cwd=tmp_path)
    listed = json.loads(inside("trials", "locks", "--json", cwd=tmp_path).stdout)

    assert made.stdout.startswith("SYNTH: its candles from 2020-02-10 00:00 on are held out (row 1")
    assert (refused.returncode, "are held out" in refused.stderr) == (1, True)
    assert "\n" not in refused.stderr.strip()
    assert read.returncode == 0, read.stderr
    assert "! This is the one reading of the candles of SYNTH" in read.stdout
    assert (again.returncode, "read once" in again.stderr) == (1, True)
    assert [lock["reading"]["sequence"] for lock in listed["locks"]] == [2]
    assert "2020-02-10" in inside("trials", "locks", cwd=tmp_path).stdout
    assert inside("trials", "verify", cwd=tmp_path).stdout.startswith("whole: 3")
    assert inside("trials", "lock", "SYNTH", "--from", "soon", cwd=tmp_path).returncode == 1
