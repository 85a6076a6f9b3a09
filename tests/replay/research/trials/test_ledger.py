"""Everything that is tried is on record, whoever tries it and whatever happens to the file; nothing is taken out unnoticed."""

import json
import math
import os
import resource
import signal
import sqlite3
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import stdev
from typing import Any

import numpy as np
import pytest

from papertape import backtest, sweep
from papertape.engine.errors import DataError
from papertape.engine.performance import measure
from papertape.engine.performance.daily import daily_returns
from papertape.engine.records import TRADE
from papertape.replay.backtesting.verify import read_summary, verify
from papertape.replay.config import make_config
from papertape.replay.research.trials.entry import TrialEntry, defined
from papertape.replay.research.trials.identity import configuration_digest
from papertape.replay.research.trials.ledger import GENESIS, Ledger, ledger_path, link, opened
from papertape.replay.research.trials.recording import append, standing_faults
from papertape.replay.research.trials.returns import block_returns, compact_returns
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import Tape
from tests.support.commands import Inside
from tests.support.deaths import forked

QUIET: dict[str, Any] = {"use_ml": False, "report": {"sensitivity": False, "random_draws": 0}}


def tape(seed: int = 5) -> Tape:
    return synthesize("regimes", 1_200, "1h", seed=seed, symbol="SYNTH")


def entry(
    number: int, strategy: str = "one", tape: str = "tape", sharpe: float | None = 1.0, days: int | None = 365
) -> TrialEntry:
    metrics = defined({"sharpe": sharpe, "days": days})
    return TrialEntry(
        "replay", strategy, [("SYNTH", tape)], f"configuration {number}", "code", "digest", metrics, "0:1:", 0
    )


def cross(fast: int, **more: Any) -> Any:
    return backtest(
        tape(), strategy="ema_cross", parameters={"fast": fast}, account={"sizing": "all_in"}, **QUIET, **more
    )


# Digests in ledgers of versions whose default was the gate.
RECORDED = [
    ({}, "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"),
    ({"epochs": 3}, "a82648463a94584cec3314e87b4088b808dacc28e94a6001d9f02b9584584aae"),
]
OF_A_CROSS = "71ce0a0c49213994c1e218a72777ea183d295a26bb1bf9bda78081091a195fd4"


def configured(learning: dict[str, Any], **sections: Any) -> str:
    return configuration_digest(make_config({"learning": learning, **sections}))


def test_a_default_that_has_changed_counts_by_what_it_was_at_first() -> None:
    """Records of before name no policy and mean the gate, which is another trial than today's default."""
    for learning, digest in RECORDED:
        assert configured({**learning, "policy": "model"}) == digest
        assert configured(learning) == configured({**learning, "policy": "recipe"}) != digest
    policies = ("model", "recipe", "newest", "shadow")
    assert len({configured({"policy": policy}) for policy in policies}) == 4


@pytest.mark.parametrize(
    "sections",
    [
        {"strategy": {"name": "ema_cross"}},
        {"signals": {"use_ml": False}},
        {"signals": {"retrain_every": "never"}},
    ],
)
def test_what_reads_no_model_is_the_same_trial_under_either_default(sections: dict[str, Any]) -> None:
    assert configured({}, **sections) == configured({"policy": "model"}, **sections)
    assert configured({}, strategy={"name": "ema_cross"}) == OF_A_CROSS


def test_every_replay_says_how_many_came_before_and_deflates_by_them() -> None:
    results = [cross(fast) for fast in (5, 8, 8, 13)]

    assert [one.summary["trials"]["trials"] for one in results] == [1, 2, 2, 3]
    assert [one.summary["trials"]["sequence"] for one in results] == [1, 2, 3, 4]
    assert results[0].summary["trials"]["deflated_sharpe"] is None
    assert "No other trial is on record for these candles" in results[0].summary["doubts"][-1]
    last = results[3]
    assert "2 other trials on record for these candles" in last.summary["doubts"][-1]
    # The same by the engine's own words: three trials, with the spread of their daily Sharpe ratios.
    sharpes = [results[k].metrics["sharpe"] / math.sqrt(365) for k in (0, 1, 3)]
    again = measure(np.zeros(0, TRADE), last.marks, 10_000.0, trials=3, trials_deviation=stdev(sharpes))
    assert last.summary["trials"]["deflated_sharpe"] == pytest.approx(again.metrics["dsr"], rel=1e-9)


def test_a_sweep_and_other_names_count_on_their_tapes_alone(tmp_path: Path, trials: Path) -> None:
    grid = {"strategy.parameters.fast": [5, 8], "strategy.parameters.slow": [6, 30]}  # 8 above 6 is refused
    found = sweep(
        grid,
        tape(),
        strategy="ema_cross",
        account={"sizing": "all_in"},
        out=tmp_path / "a",
        workers=2,
        **QUIET,
    )
    assert (found.standing.trials, found.standing.sequence) == (3, 3)
    assert found.to_json()["ledger"]["deflated_sharpe"] is not None
    assert (found.verdict.trials, found.verdict.left_out) == (3, 0)

    cross(8, start=None)  # slow is 26 there: another one
    other = backtest(tape(9), strategy="ema_cross", **QUIET)

    assert other.summary["trials"]["trials"] == 1
    with opened() as ledger:
        assert [(one.trials, one.strategies) for one in ledger.by_tape()] == [(1, 1), (4, 1)]
        assert {one.kind for one in ledger.on(tape().sha256)} == {"sweep", "replay"}
        assert ledger.faults() == []
    # The same sweep again has nothing new to show, whatever its folder; and what a kill kept out is brought in.
    trials.unlink()
    again = sweep(
        grid, tape(), strategy="ema_cross", account={"sizing": "all_in"}, out=tmp_path / "a", **QUIET
    )
    assert (again.standing.trials, again.standing.sequence) == (3, 3)


def test_a_result_is_verified_whatever_was_tried_since(
    tmp_path: Path, trials: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cross(5)
    folder = cross(8).save(tmp_path / "result")
    cross(13)

    assert verify(folder, [tape()]).differences == ()
    summary = read_summary(folder)
    assert standing_faults(summary) == ([], "")
    summary["trials"]["trials"] = 1
    assert "1 trials are said, and 2 were on record" in standing_faults(summary)[0][0]
    monkeypatch.setenv("PAPERTAPE_TRIALS", "off")
    assert verify(folder, [tape()]).differences == ()
    assert "off" in standing_faults(summary)[1]
    file = folder / "result.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"trials": {"trials": "2"}}))
    with pytest.raises(DataError, match="damaged: trials"):
        verify(folder, [tape()])


def test_what_is_switched_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAPERTAPE_TRIALS", "off")

    found = cross(5)

    assert found.summary["trials"]["deflated_sharpe"] is None
    assert found.summary["trials"]["problem"] == "the trial ledger is off ($PAPERTAPE_TRIALS=off)"
    assert "the trial ledger is off" in found.summary["doubts"][-2]
    assert "is not known" in found.summary["doubts"][-1]


def rewrite_from(file: sqlite3.Connection, sequence: int) -> None:
    """Hash every row from one on again, and the head: what somebody would do who knows how the chain is made."""
    (before,) = file.execute("SELECT hash FROM trials WHERE sequence = ?", (sequence - 1,)).fetchone() or (
        GENESIS,
    )
    for number, body in file.execute(
        "SELECT sequence, body FROM trials WHERE sequence >= ? ORDER BY 1", (sequence,)
    ).fetchall():
        before = link(before, number, body)
        file.execute("UPDATE trials SET hash = ? WHERE sequence = ?", (before, number))
    (last,) = file.execute("SELECT max(sequence) FROM trials").fetchone()
    file.execute("UPDATE head SET hash = ?, sequence = ?", (before, last))


def cut(file: sqlite3.Connection) -> None:
    file.execute("DELETE FROM trials WHERE sequence = 5")
    file.execute("DELETE FROM tried WHERE sequence = 5")
    rewrite_from(file, 5)


def renamed(file: sqlite3.Connection) -> None:
    (body,) = file.execute("SELECT body FROM trials WHERE sequence = 2").fetchone()
    file.execute("UPDATE trials SET body = ? WHERE sequence = 3", (body,))
    rewrite_from(file, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("DELETE FROM trials WHERE sequence = 3", "trial 3 is missing"),
        (
            "UPDATE trials SET body = (SELECT body FROM trials WHERE sequence = 2) WHERE sequence = 3",
            "trial 3 was changed",
        ),
        (
            "UPDATE trials SET sequence = CASE sequence WHEN 2 THEN -3 WHEN 3 THEN -2 END WHERE sequence IN (2, 3); "
            "UPDATE trials SET sequence = -sequence WHERE sequence < 0",
            "trial 2 was changed",
        ),
        ("DELETE FROM trials WHERE sequence = 5", "the head says 5 trials, and there are 4"),
        ("UPDATE tried SET sharpe = 9 WHERE sequence = 4", "the count of tape tape was changed"),
        ("UPDATE tried SET days = 999 WHERE sequence = 4", "the count of tape tape was changed"),
        ("DELETE FROM tried WHERE sequence = 4", "the count of tape tape lacks a trial"),
        (cut, ""),
        (renamed, "the count of tape tape"),
    ],
)
def test_the_chain_notices(
    change: str | Callable[[sqlite3.Connection], None], said: str, trials: Path
) -> None:
    standing = append([entry(number, sharpe=number / 7) for number in range(5)])
    summary = {"trials": standing._asdict(), "tapes": [{"sha256": "tape"}]}
    assert standing_faults(summary) == ([], "")
    with sqlite3.connect(trials) as file:
        file.executescript(change) if isinstance(change, str) else change(file)
    file.close()

    with opened() as ledger:
        faults = ledger.faults()

    # Who hashes all of it again has a chain that is whole, but not the head that every result carries.
    assert faults == [] if not said else said in faults[0]
    assert standing_faults(summary)[0]


def test_trouble_costs_no_result_and_is_said(
    trials: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append([entry(0, tape=tape().sha256, sharpe=0.5)])

    def refuse(self: Ledger, *_: object, **__: object) -> None:
        raise DataError(f"{self.path}: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "append", refuse)
        found = cross(5)
    assert (found.summary["trials"]["trials"], found.summary["trials"]["sequence"]) == (2, 1)
    assert found.summary["trials"]["deflated_sharpe"] is not None
    assert any("Not on record" in line and "the disk is full" in line for line in found.summary["doubts"])
    folder = found.save(tmp_path / "result")
    assert verify(folder, [tape()]).differences == ()
    assert standing_faults(found.summary) == ([], "")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda path: sqlite3.connect(path).execute("PRAGMA user_version = 4").connection.close(),
            "format 4 is newer than 3; update papertape",
        ),
        (lambda path: path.write_bytes(b"not a database, " * 99), "it is no trial ledger"),
        (lambda path: (path.unlink(), path.mkdir()), "it is a folder; name a file"),
    ],
)
def test_a_file_that_is_not_ours_is_left_alone(
    spoil: Callable[[Path], object], said: str, trials: Path
) -> None:
    append([entry(0)])
    spoil(trials)
    before = trials.read_bytes() if trials.is_file() else b""

    standing = append([entry(1)])

    assert standing.trials is None
    assert said in standing.problem
    assert not trials.is_file() or trials.read_bytes() == before
    with pytest.raises(DataError, match=said), opened():
        pass


def test_trials_of_other_lengths_count_by_their_days(trials: Path) -> None:
    """Daily 0.2, 0.1 and 0.15 over 100, 400 and 100 days: SR̄ 0.125, squares 0.5625 + 0.25 + 0.0625 over two; the rest count only."""
    scale = math.sqrt(365)
    shown = [(0.2, 100), (0.1, 400), (0.15, 100), (9.0, 29), (None, 400), (7.0, None)]

    standing = append(
        entry(number, sharpe=None if sharpe is None else sharpe * scale, days=days)
        for number, (sharpe, days) in enumerate(shown)
    )

    assert (standing.trials, standing.spread_trials) == (6, 3)
    assert standing.spread == pytest.approx(math.sqrt(0.875 / 2), rel=1e-12)
    with opened() as ledger:
        assert ledger.count(["tape"], 2).spread == pytest.approx(math.sqrt(0.8), rel=1e-12)
        others = [entry(number + 6, sharpe=0.125 * scale, days=900) for number in range(2)]
        assert ledger.count_with(["tape"], others)[:3] == (8, pytest.approx(math.sqrt(0.875 / 4)), 5)


@pytest.mark.skipif(
    os.geteuid() == 0 and not Path("/proc/self").exists(), reason="needs a folder that refuses"
)
def test_a_home_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PAPERTAPE_TRIALS")
    monkeypatch.setenv("XDG_DATA_HOME", "/proc/self")  # nobody, root either, makes a folder there
    assert ledger_path() == Path("/proc/self/papertape/trials.sqlite3")
    assert append([entry(1)]).trials is None
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert ledger_path() == tmp_path / ".local/share/papertape/trials.sqlite3"
    monkeypatch.setenv("XDG_DATA_HOME", "share")  # relative: XDG says to ignore it
    assert ledger_path() == tmp_path / ".local/share/papertape/trials.sqlite3"
    assert append([entry(1)]).trials == 1


def write(first: int, mark: Path | None = None) -> None:
    for number in range(first, first + 40):
        problem = append([entry(number)]).problem
        assert not problem, problem
        if mark is not None and number == first + 3:
            mark.touch()


def test_two_shells_and_a_kill(trials: Path, tmp_path: Path) -> None:
    mark = tmp_path / "begun"
    both = [forked(partial(write, first)) for first in (0, 100)]
    killed = forked(partial(write, 200, mark))
    limit_s = time.monotonic() + 60
    while not mark.exists() and time.monotonic() < limit_s:
        time.sleep(0.001)
    os.kill(killed, signal.SIGKILL)

    ended = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in (*both, killed)]

    assert ended[:2] == [0, 0]
    with opened() as ledger:
        assert ledger.faults() == []
        known = {one.configuration for one in ledger.on("tape")}
    wanted = (*range(40), *range(100, 140), *range(200, 204))
    assert known >= {f"configuration {number}" for number in wanted}


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    told = tmp_path / "told"

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (48 << 10, 48 << 10))
        for number in range(10_000):
            standing = append([entry(number)])
            if standing.problem:
                told.write_text(json.dumps([number, *standing]))
                return

    assert os.waitstatus_to_exitcode(os.waitpid(forked(fill), 0)[1]) == 0
    number, *said = json.loads(told.read_text())
    count, _, problem, *head = said[:6]

    assert number + 1 == count > 10  # with the one that could not be kept
    assert "the disk" in problem
    with opened() as ledger:
        assert (ledger.faults(), list(ledger.head())) == ([], head)
        assert ledger.head().sequence == number


def test_returns_come_back_from_their_compact_form() -> None:
    found = cross(5)
    daily = daily_returns(found.marks, 10_000.0)

    blocks = block_returns(compact_returns(found.marks, 10_000.0))

    assert (blocks.first_day * 86_400_000, blocks.days) == (int(daily.day_ms[0]), 1)
    np.testing.assert_allclose(blocks.returns, daily.returns, rtol=1e-6, atol=1e-9)
    with pytest.raises(DataError, match="not in the compact form"):
        block_returns("1:2:?")


def test_commands_list_and_verify(inside: Inside, tmp_path: Path, trials: Path) -> None:
    none = inside("trials", "list", cwd=tmp_path)
    assert (none.returncode, "there is no trial ledger yet" in none.stderr) == (1, True)
    append([entry(0, "one"), entry(1, "two"), entry(0, "renamed"), entry(0, tape="other")])

    listed = json.loads(inside("trials", "list", "--json", cwd=tmp_path).stdout)
    whole = inside("trials", "verify", cwd=tmp_path)
    assert [(row["tape"], row["trials"], row["strategies"]) for row in listed["tapes"]] == [
        ("other", 1, 1),
        ("tape", 2, 2),
    ]
    assert whole.stdout.startswith("whole: 4 trials")
    shown = json.loads(inside("trials", "show", "tape", "--json", cwd=tmp_path).stdout)
    assert (shown["trials"], shown["verdict"]["trials"], shown["verdict"]["overfitting"]) == (2, 2, None)
    unclear = inside("trials", "show", "SYNTH", cwd=tmp_path)
    assert (unclear.returncode, "2 tapes are called so" in unclear.stderr) == (1, True)
    assert inside("trials", "forget", cwd=tmp_path).returncode == 2
    with sqlite3.connect(trials) as file:
        file.execute("DELETE FROM trials WHERE sequence = 2")
    file.close()
    broken = inside("trials", "verify", cwd=tmp_path)
    assert (broken.returncode, "broken: trial 2 is missing" in broken.stdout) == (1, True)
