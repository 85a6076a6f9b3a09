"""A study's cells are their replays, whatever number of processes or kill comes between; its tables and its page are the result."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape import Tape, backtest, learn_study
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.learning import learning_pass
from papertape.replay.learning.attempt import Learned
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.walk_forward import walk
from papertape.replay.research.learn_study import walks
from papertape.replay.research.learn_study.page import _parts, _thinned
from papertape.replay.research.learn_study.result import StudyFound
from papertape.replay.tapes.store import Store
from tests.support.browser import browser_tab, needs_browser
from tests.support.commands import Inside
from tests.support.helpers import make_candles
from tests.support.pages import opened_narrow_and_wide

GRID = {"learning.horizon_bars": [2, 3], "learning.policy": ["newest", "recipe"]}
SMALL: dict[str, Any] = {
    "model": "logistic",
    "retrain_every": "10d",
    "use_smc": False,
    "learning": {"window_days": 40, "gate_days": 20, "label": "direction"},
    "signals": {"model_features": ["log_return_1", "rsi_14"]},
    "report": {"sensitivity": False, "random_draws": 0},
}


def trending(symbol: str, seed: int, n: int = 1_900) -> Tape:
    """Return hours in which every return is seven tenths of the last one and some noise."""
    random = np.random.default_rng(seed)
    moves = np.zeros(n)
    for i in range(1, n):
        moves[i] = 0.7 * moves[i - 1] + 0.004 * random.normal()
    close = 100.0 * np.exp(np.cumsum(moves))
    opens = np.concatenate([[100.0], close[:-1]])
    high, low = np.maximum(opens, close) * 1.0005, np.minimum(opens, close) * 0.9995
    rows = make_candles(list(zip(opens, high, low, close, strict=True)))
    return Tape(rows, "binance-usdm", symbol, "1h", source="made in a test")


TAPES = [trending("AAA", 3), trending("BBB", 4)]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> StudyFound:
    return learn_study(GRID, TAPES, out=tmp_path_factory.mktemp("study"), workers=1, **SMALL)


def plain(found: StudyFound) -> pd.DataFrame:
    return found.table.drop(columns="wall_s")


async def walk_here(folder: object, job: TrainingJob, *_: object) -> Learned:
    return Learned(*walk(job, train_model), 0.0)


def test_every_cell_is_its_replay(found: StudyFound, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning_pass, "run_walk", walk_here)
    assert found.counts == {"done": 8}

    for row in found.rows[::3]:
        policy, bars = row.changes["learning.policy"], row.changes["learning.horizon_bars"]
        tape = next(tape for tape in TAPES if [tape.name] == row.changes["data.tapes"])
        learning = {**SMALL["learning"], "policy": policy, "horizon_bars": bars}
        alone = backtest(tape, **{**SMALL, "learning": learning})

        assert row.digest == alone.digest
        assert dict(row.metrics) == alone.metrics
        model = alone.summary["model"]
        lesson, scores = row.lesson, model["out_of_sample"]["contenders"]
        assert lesson["models"] == sum(bool(one["record"]) for one in model["attempts"]) > 0
        assert lesson["outcomes"].get("promoted", 0) == len(model["lineage"])
        # The mean over rows is the difference of the two log-losses, which others computed.
        gain = scores["majority"]["log_loss"] - scores["challenger"]["log_loss"]
        assert lesson["gain"][0] == pytest.approx(gain, abs=1e-12)
        assert lesson["gain"][1] < gain < lesson["gain"][2]
        states = [one["gate"]["recipe"] for one in model["attempts"] if one["record"]]
        assert lesson["passed"] == any(one["state"]["passes"] for one in states)
        assert len(lesson["points"]) == sum(len(one["points"]) for one in states)


def test_an_edge_passes_and_the_account_without_models_stands_beside_it(found: StudyFound) -> None:
    bare = backtest(TAPES[0], **{**SMALL, "retrain_every": "never"}).metrics

    own = [row for row in found.rows if row.changes["data.tapes"] == [TAPES[0].name]]
    assert {row.lesson["bare"]["total_return"] for row in own} == {bare["total_return"]}
    assert found.verdict.tried == 4
    assert len(found.verdict.standing) == 4
    assert found.verdict.better == 4
    assert found.standing.trials is not None


def test_it_says_what_the_candles_of_each_tape_are(found: StudyFound, tmp_path: Path) -> None:
    """It printed no doubt of candles: a study on synthetic or half missing ones looked like any other."""
    untold = [*range(100, 130), *range(900, 912)]
    rows = np.delete(TAPES[1].candles, untold)
    holes = Tape(rows, "binance-usdm", "BBB", "1h", source="made in a test")
    grid = {"learning.horizon_bars": [2], "learning.policy": ["newest"]}

    told = learn_study(grid, [TAPES[0], holes], out=tmp_path / "b", workers=1, **SMALL)

    # Both are perpetuals without rates; candles are missing of one.
    funding, missing = told.data_doubts
    assert funding.startswith("No funding is included")
    absent = "42 of 1,900 candles were not recorded and stand as absent: flat, flag 2, no fills."
    assert missing == f"{told.tapes[holes.name,]}: BBB: {absent}"
    assert told.doubts[:2] == [funding, missing]
    assert told.to_json()["data_doubts"] == [funding, missing]
    assert told.page is not None
    assert absent in told.page.read_text()
    assert list(found.data_doubts) == [funding]


def test_models_are_trained_once_for_all_policies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "trained"

    def counted(*arguments: Any) -> bytes:
        with kept.open("a") as file:
            file.write("x")
        return train_model(*arguments)

    monkeypatch.setattr(walks, "train_model", counted)
    policies = {"learning.policy": ["model", "recipe", "newest", "shadow"], "learning.horizon_bars": [2]}

    found = learn_study(policies, TAPES[:1], out=tmp_path / "b", workers=1, **SMALL)

    assert found.counts == {"done": 4}
    about = dict(_parts(found))["head"]["about"]
    assert (about[0], about[2]) == ("1 recipe on 1 tape", "4 cells: 4 done")
    assert len(kept.read_text()) == found.rows[0].lesson["models"]
    assert len({json.dumps(row.lesson["points"]) for row in found.rows}) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="what a process holds is told by Linux")
def test_a_training_that_wants_more_memory_than_it_may_is_a_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*arguments: Any) -> bytes:
        np.empty(600 << 20, np.uint8)  # is only reserved
        return train_model(*arguments)

    monkeypatch.setattr(walks, "train_model", greedy)
    lessons = {}
    for limit_mb in (512, 1024):
        learning = {**SMALL["learning"], "memory_limit_mb": limit_mb}
        grid = {"learning.horizon_bars": [2]}
        rows = learn_study(
            grid, TAPES[:1], out=tmp_path / str(limit_mb), workers=1, **{**SMALL, "learning": learning}
        ).rows
        lessons[limit_mb] = rows[0].lesson

    assert lessons[512]["models"] == 0
    assert lessons[512]["reason"] == "training needs more than 512 MB"
    assert lessons[1024]["models"] > 0


def test_a_study_goes_on_where_it_was_cut_off_by_any_number_of_processes(
    found: StudyFound, tmp_path: Path
) -> None:
    whole = (found.folder / "trials.jsonl").read_bytes().splitlines(keepends=True)
    file = tmp_path / "part" / "trials.jsonl"
    file.parent.mkdir()
    file.write_bytes(b"".join(whole[:4]) + whole[4][:40])  # killed in the middle of a line

    again = learn_study(GRID, TAPES, out=file.parent, workers=2, **SMALL)

    lines = file.read_bytes().splitlines(keepends=True)
    assert lines[:4] == whole[:4]
    assert sorted(json.loads(line)["number"] for line in lines[1:]) == list(range(8))
    pd.testing.assert_frame_equal(plain(again), plain(found))
    pd.testing.assert_frame_equal(again.evidence, found.evidence)


def test_tables_and_page_are_the_result(found: StudyFound) -> None:
    assert found.page is not None
    text = found.page.read_text(encoding="utf-8")
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.DOTALL)[1])  # type: ignore[index]
    table, evidence = found.table, found.evidence

    assert not re.search(r"(src|href)=[\"']?http|@import", text)
    assert data["recipes"] == ["2", "3"]
    assert data["policies"] == ["newest", "recipe"]
    assert data["head"]["sentences"] == found.doubts
    assert [cell["returned"] for cell in data["cells"]] == table["total_return"].tolist()
    assert sorted(evidence["number"].unique()) == [0, 2, 4, 6]  # policies share their models
    for number, curve in evidence.groupby("number"):
        highest = max(1.0, curve["evidence"].cummax().iloc[-1])
        assert table["evidence"][number] == pytest.approx(highest)
    plain_rows = found.to_json()["rows"]
    assert json.loads(json.dumps(plain_rows, allow_nan=False)) == plain_rows
    assert [row["digest"] for row in plain_rows] == table["digest"].tolist()


def test_a_long_curve_keeps_its_highest_point_and_its_end() -> None:
    points = [[i, float(i % 97 == 50) + i / 1e6, False] for i in range(1_000)]

    kept = _thinned(points)

    assert len(kept) <= 201
    assert kept[-1] == points[-1]
    assert max(point[1] for point in kept) == max(point[1] for point in points)


def test_a_recipe_that_can_never_be_judged_is_told_with_the_number_that_is_missing(tmp_path: Path) -> None:
    grid = {"learning.horizon_bars": [2, 400], "learning.policy": ["recipe"]}

    found = learn_study(grid, TAPES[:1], out=tmp_path / "a", workers=1, **SMALL)

    assert found.counts == {"done": 1, "refused": 1}
    # 400 hours until a label is known and one to bet on, in the 240 of ten days.
    assert "fewer than the 401 that horizon_bars 400 needs" in found.reasons["refused"]
    assert found.verdict.tried == 1


@pytest.mark.parametrize(
    ("grid", "more", "said"),
    [
        ({"data.tapes": ["AAA"]}, {}, "name tapes with --tape"),
        ({"data.start": ["2024-01-01"]}, {}, "it is no part of a recipe"),
        ({"signals.model": ["lstn"]}, {}, "signals.model"),
        ({}, {"use_ml": False}, "so no recipe trains a model"),
        ({}, {"workers": 0}, "one process is the least"),
        ({}, {"tapes": [TAPES[0], TAPES[0]]}, "stands twice among the tapes"),
        ({}, {"limit": 4}, "5 trials are more than 4"),
    ],
)
def test_what_means_nothing_is_told_before_anything_runs(
    grid: dict[str, Any], more: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, DataError), match=re.escape(said)):
        learn_study(grid, **{"tapes": TAPES[:1], "out": tmp_path / "a", **SMALL, **more})

    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_no_cell_is_lost_or_run_twice_when_it_is_killed(tmp_path: Path, inside: Inside) -> None:
    for tape in TAPES:
        Store(tmp_path / "tapes").save(tape)
    words = [
        "learn-study", "--tape", "AAA", "--tape", "BBB", "--grid", "learning.horizon_bars=2:9:1", "--grid",
        "learning.policy=recipe,newest", "--set", "signals.model=logistic", "--set", "signals.retrain_every=5d", "--set",
        "learning.window_days=40", "--set", "learning.gate_days=20", "--out", "found", "--workers", "1",
    ]  # fmt: skip
    file = tmp_path / "found" / "trials.jsonl"
    command = [str(Path(sys.executable).parent / "papertape"), *words]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        limit_s = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < limit_s:
            if file.exists() and file.read_bytes().count(b"\n") > 4:
                os.kill(process.pid, signal.SIGKILL)
                break
            time.sleep(0.005)
    kept = file.read_bytes()
    assert 4 < kept.count(b"\n") < 33

    ended = inside(*words, "--json", cwd=tmp_path)

    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["left"] == 0
    numbers = [json.loads(line)["number"] for line in file.read_bytes().splitlines()[1:]]
    assert sorted(numbers) == list(range(32))
    assert file.read_bytes().startswith(kept[: kept.rindex(b"\n") + 1])


@needs_browser
@pytest.mark.slow
@pytest.mark.asyncio
async def test_page_is_drawn_narrow_and_wide_and_asks_nobody(found: StudyFound, tmp_path: Path) -> None:
    assert found.page is not None
    async with browser_tab(tmp_path / "profile") as tab:
        await tab.call("Network.enable")
        await opened_narrow_and_wide(tab, found.page)
        # A scale in decades has places between two of them, and each says its own number.
        places = "JSON.stringify([0, 0.5, 1, 1.5, -4, 5.5].map(powerOfTen))"
        assert json.loads(await tab.value(places)) == ["1", "3.2", "10", "32", "10^-4", "10^5.5"]
        count = "document.querySelectorAll('%s').length"
        assert await tab.value(count % "#evidence .curve") == 4
        assert await tab.value(count % "#evidence .boundary") == 2
        assert await tab.value(count % "#gains .dot") == 4
        assert await tab.value(count % "#matrix tbody td") == 6
        assert await tab.value(count % "#table tbody tr") == 8
        assert tab.errors == []
        assert all(url.startswith("file:") for url in tab.requests)
