"""
Ledgers that versions before wrote: read as they are, brought forward by the first thing that is tried, every row as it was hashed.

Each is what four replays of `ema_cross` left of `synthesize("regimes", 2_400, "1h", seed=5)`: two over 100 days, one over 46, one
over 10; format 2 has a lock beside them.
"""

import lzma
import sqlite3
from contextlib import closing
from pathlib import Path
from statistics import stdev
from typing import Any

import pytest

from papertape.engine.performance.standing import Standing
from papertape.replay.research.trials.entry import TrialEntry
from papertape.replay.research.trials.ledger import opened
from papertape.replay.research.trials.recording import append, standing_faults, standing_on
from papertape.replay.research.trials.storage import FORMAT

OLDER = Path(__file__).parent / "older"
TAPE = "6e0ca201c9b02223fdf4da6e78a4f3dfb41a1a59eb65ec0ebe70d3b08d9add92"
# What those replays printed: annual Sharpe ratio and days.
SHOWN = [
    (1.1097717104058222, 100),
    (1.5430677106278798, 100),
    (0.9652548913577513, 46),
    (-1.0682991010879783, 10),
]
NEWEST = "e0256a4180e6728f27a99aaaac35abf7616b84a28e96df717ac24b0d1d0f3775"
SAVED = {
    "trials": 4,
    "deviation": 0.060893403970409724,
    "problem": "",
    "ledger": "ccb7a12215db41629615bd4c7dbbc67d",
    "sequence": 4,
    "head": NEWEST,
    "deflated_sharpe": None,
}


@pytest.fixture(params=(1, 2))
def older(request: pytest.FixtureRequest, trials: Path) -> int:
    """The number of a format whose ledger is the one of this test."""
    packed = OLDER / f"format-{request.param}.sqlite3.xz"
    trials.write_bytes(lzma.decompress(packed.read_bytes()))
    assert rows(trials, "PRAGMA user_version") == [(request.param,)]
    return int(request.param)


def rows(path: Path, query: str) -> list[Any]:
    """What plain SQL reads."""
    with closing(sqlite3.connect(path)) as file:
        return file.execute(query).fetchall()


def spread_by_hand() -> float:
    """Of the three that lasted for 30 days, a day's Sharpe ratio being the year's by √365; each weighs as its days do."""
    squares = 0.0
    mean = sum(days * sharpe for sharpe, days in SHOWN[:3]) / 246
    for sharpe, days in SHOWN[:3]:
        squares += days * (sharpe - mean) ** 2 / 365
    return float((squares / 2) ** 0.5)


def test_one_that_is_only_read_stays_as_it_is_and_counts_days(older: int, trials: Path) -> None:
    before = trials.read_bytes()

    standing = standing_on([TAPE])

    assert (standing.trials, standing.spread_trials) == (4, 3)
    assert standing.spread == pytest.approx(spread_by_hand(), rel=1e-12)
    with opened() as ledger:
        assert (ledger.format(), ledger.faults(), len(ledger.notes())) == (older, [], older - 1)
        assert ledger.count([TAPE]).deviation == pytest.approx(stdev(one / 365**0.5 for one, _ in SHOWN))
    assert trials.read_bytes() == before


def test_the_first_that_is_tried_brings_it_forward_and_every_row_stays(older: int, trials: Path) -> None:
    chain = "SELECT sequence, body, hash FROM trials ORDER BY 1"
    before = rows(trials, chain)

    new = TrialEntry(
        "replay",
        "one",
        [("SYNTH", TAPE)],
        "another",
        "code",
        "digest",
        {"sharpe": 1.0, "days": 46},
        "0:1:",
        0,
    )
    standing = append([new])

    assert (standing.problem, standing.trials, standing.spread_trials) == ("", 5, 4)
    assert rows(trials, chain)[:-1] == before
    assert rows(trials, "SELECT days FROM tried ORDER BY sequence") == [(100,), (100,), (46,), (10,), (46,)]
    with opened() as ledger:
        assert (ledger.format(), ledger.faults(), len(ledger.notes())) == (FORMAT, [], older - 1)
        assert ledger.count([TAPE], 4).spread == pytest.approx(spread_by_hand(), rel=1e-12)


@pytest.mark.parametrize("is_forward", [False, True])
def test_a_result_of_before_is_verified_by_what_it_said(older: int, is_forward: bool) -> None:
    if is_forward:
        append([TrialEntry("replay", "one", [("SYNTH", TAPE)], "another", "code", "digest", {}, "0:1:", 0)])
    summary = {"trials": dict(SAVED), "tapes": [{"sha256": TAPE}]}

    assert standing_faults(summary) == ([], "")
    assert Standing.of_json(SAVED).section({}) == SAVED
    summary["trials"]["deviation"] = 0.06
    assert "4 trials are said" in standing_faults(summary)[0][0]


def test_a_row_that_was_changed_is_still_named_when_it_is_brought_forward(older: int, trials: Path) -> None:
    with closing(sqlite3.connect(trials)) as file, file:
        file.execute("UPDATE trials SET body = x'00' WHERE sequence = 3")

    standing = append(
        [TrialEntry("replay", "one", [("SYNTH", TAPE)], "another", "code", "digest", {}, "0:1:", 0)]
    )

    assert (standing.trials, standing.spread_trials) == (5, 2)
    with opened() as ledger:
        assert "trial 3 was changed" in ledger.faults()[0]
