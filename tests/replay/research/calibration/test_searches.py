"""Searches on noise markets: any number of workers finds the same, also after an end in the middle, and hardly any claims."""

from pathlib import Path

import pytest
from scipy import stats

from papertape.engine.errors import ConfigError, DataError
from papertape.replay.research.calibration import markets, searches
from papertape.replay.research.calibration.markets import MARKETS
from papertape.replay.research.calibration.searches import (
    CLAIMED,
    DEFLATED,
    OFF,
    VERDICT,
    SearchStudyOptions,
    run_searches,
)
from papertape.replay.research.calibration.study import ALL, ClaimRate
from papertape.replay.research.trials.ledger import Ledger
from tests.support.commands import Inside

FEW = ("strategy.parameters.fast=6,12", "strategy.parameters.slow=120,240")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a search have four trials on two kinds of markets of two months."""
    monkeypatch.setattr(markets, "HOURS", 60 * 24)
    monkeypatch.setattr(searches, "GRID", FEW)
    monkeypatch.setattr(searches, "MARKETS", {name: MARKETS[name] for name in ("mirrored", "garch")})


def rate(rows: list[ClaimRate], claim: str, shape: str = ALL) -> ClaimRate:
    (found,) = [row for row in rows if (row.claim, row.shape) == (claim, shape)]
    return found


def test_workers_and_an_end_in_the_middle_change_nothing(quick: None, tmp_path: Path, trials: Path) -> None:
    told: list[int] = []
    alone = run_searches(SearchStudyOptions(2, folder=tmp_path / "a"), lambda _, done, of: told.append(done))
    file = tmp_path / "b" / "trials.jsonl"
    run_searches(SearchStudyOptions(2, workers=2, folder=tmp_path / "b"))
    whole = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(whole[:3]) + whole[3][:20])  # two searches, and a part of one

    again = run_searches(SearchStudyOptions(2, workers=2, folder=tmp_path / "b"))

    assert again == alone
    assert sorted(file.read_bytes().splitlines()[1:]) == sorted(
        (tmp_path / "a" / "trials.jsonl").read_bytes().splitlines()[1:]
    )
    assert told == list(range(1, 7))  # two on noise and one with an edge, with costs and without
    for costs in ("with-costs", "without-costs"):
        ledger = Ledger(tmp_path / "b" / f"{costs}.sqlite3")
        assert ledger.faults() == []
        assert [one.trials for one in ledger.by_tape()] == [4, 4, 4]
        ledger.close()
    assert not trials.exists()


def test_shares_are_counted_over_their_own_searches_alone(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything claims on mirrored markets without costs and nothing elsewhere, so each share is 0 or 1, or a half over both."""

    def claimed(options: object, folder: object, number: int, job: searches.OneSearch) -> searches.TrialRow:
        is_claim = float(job.market == "mirrored" and not job.has_costs)
        return searches.TrialRow(number, job._asdict(), "done", metrics=dict.fromkeys(CLAIMED, is_claim))

    monkeypatch.setattr(searches, "_searched", claimed)
    rows = run_searches(SearchStudyOptions(8, folder=tmp_path / "a"))

    for claim in CLAIMED:
        assert rate(rows, f"{claim}, without costs", "mirrored")[2:4] == (4, 1.0)
        assert rate(rows, f"{claim}, without costs", "garch")[2:4] == (4, 0.0)
        assert rate(rows, f"{claim}, without costs")[2:4] == (8, 0.5)
        assert rate(rows, f"{claim}, without costs").power == 0.5
        assert rate(rows, f"{claim}, with costs").rate == 0.0
    assert not rate(rows, f"{VERDICT}, without costs").is_fine
    assert not rate(rows, f"{DEFLATED}, without costs", "garch").is_fine  # it finds nothing
    assert rate(rows, f"{DEFLATED}, with costs").is_fine  # costs may eat an edge
    assert rate(rows, f"{OFF}, without costs").is_fine  # nobody holds it to anything


def test_too_few_and_another_study_are_refused(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        searches,
        "_searched",
        lambda options, folder, number, job: searches.TrialRow(number, job._asdict(), "failed", "it fell"),
    )

    with pytest.raises(ConfigError, match="1 searches: at least 2, one on each kind"):
        run_searches(SearchStudyOptions(1, folder=tmp_path / "a"))
    with pytest.raises(DataError, match=r"search 0 .*mirrored.*it fell"):
        run_searches(SearchStudyOptions(2, folder=tmp_path / "a"))
    with pytest.raises(DataError, match="with other seed"):
        run_searches(SearchStudyOptions(2, seed=2, folder=tmp_path / "a"))


def test_the_command_prints_every_claim_with_its_costs(quick: None, tmp_path: Path, inside: Inside) -> None:
    done = inside("calibrate", "--markets", "2", "--workers", "1", "--out", "a", cwd=tmp_path)

    for costs in ("without costs", "with costs"):
        assert f"{costs}, % of noise / of planted edges: 2 / 1 searches" in done.stdout
    for line in ("ledger verdict, without costs: ", "usual practice, with costs: "):
        assert line in done.stdout
    assert "ledger off, with costs: " in done.stdout
    assert done.returncode in (0, 1)


@pytest.mark.slow
def test_forty_searches_on_noise_hardly_claim(tmp_path: Path) -> None:
    """
    At 5 % a piece seven claims or more of 42 come about with a probability below 1 %; the usual practice shows what is avoided.
    """
    rows = run_searches(SearchStudyOptions(42, workers=2, folder=tmp_path / "a"))

    for costs in ("without costs", "with costs"):
        judged = rate(rows, f"{VERDICT}, {costs}")
        assert stats.binomtest(round(42 * judged.rate), 42, 0.05, "greater").pvalue > 0.01
        assert judged.power >= 0.5
    usual = rate(rows, f"{OFF}, without costs")
    assert stats.binomtest(round(42 * usual.rate), 42, 0.05, "greater").pvalue < 0.05
