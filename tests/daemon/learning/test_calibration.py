"""What was said against what came, from a journal: as a replay judges the same predictions, and every prediction is counted once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from papertape.daemon.journal import Journal
from papertape.daemon.learning import calibration
from papertape.daemon.learning.calibration import calibration_of
from papertape.engine.candles import HOUR_MS
from papertape.engine.jit import Rows
from papertape.engine.model.buckets import confidence_buckets
from papertape.engine.model.scores import scores
from papertape.engine.model.training.labels import SIGNAL
from papertape.engine.records import PREDICTION
from papertape.replay.backtesting.models import resolve
from papertape.replay.learning.settings import LearningSettings
from tests.support.helpers import random_candles

SYMBOLS = ("AAA", "BBB")
SETTINGS = LearningSettings("logistic", "1h", (), label="direction", horizon_bars=6)
BRACKET = LearningSettings(
    "logistic", "1h", (), label="bracket", horizon_bars=6, stop_atr=1.0, target_atr=1.0
)
VARIANCE = replace(SETTINGS, label="variance", no_trade=True, cost=0.005)


def made(n: int) -> tuple[Rows, dict[str, Rows]]:
    """Return predictions at every close of two symbols, by two models, some without an answer; and their candles."""
    random = np.random.default_rng(7)
    bars = {name: random_candles(n, 50 + place, "1h") for place, name in enumerate(SYMBOLS)}
    parts = []
    for place, rows in enumerate(bars.values()):
        said = np.zeros(n, PREDICTION)
        said["time_ms"], said["symbol"] = rows["open_ms"] + HOUR_MS, place
        for name in ("open", "high", "low", "close"):
            said[name] = rows[name]
        said["atr"] = rows["close"] * 0.01
        said["version"] = np.where(np.arange(n) < n // 2, 1, 2)
        said["probability"] = np.where(random.random(n) < 0.1, np.nan, random.uniform(0.2, 0.8, n))
        parts.append(said)
    rows = np.concatenate(parts)
    return rows[np.lexsort((rows["symbol"], rows["time_ms"]))], bars


def journal_with(state: Path, rows: Rows) -> None:
    names = PREDICTION.names or ()
    state.mkdir(exist_ok=True)
    with Journal.open(state, 0) as journal:
        values = [
            [SYMBOLS[row["symbol"]] if name == "symbol" else row[name].item() for name in names]
            for row in rows
        ]
        marks = ", ".join("?" * (1 + len(names)))
        journal.commit(
            [
                lambda j: j.connection.executemany(
                    f"INSERT INTO predictions (input, {', '.join(names)}) VALUES ({marks})",  # noqa: S608
                    [[1, *(None if value != value else value for value in row)] for row in values],
                )
            ]
        )


@pytest.mark.parametrize("settings", [SETTINGS, BRACKET, VARIANCE], ids=lambda s: s.label)
def test_it_is_what_a_replay_says_of_the_same_predictions(tmp_path: Path, settings: LearningSettings) -> None:
    rows, bars = made(300)
    journal_with(tmp_path, rows)
    expected = resolve(settings, rows, bars)
    # A daemon judges when the whole horizon has passed, whatever ended a trade before.
    last_ms = int(rows["time_ms"].max()) - settings.horizon_bars * HOUR_MS
    chosen = expected.time_ms <= last_ms
    y, p, version = expected.y[chosen], expected.p[chosen], expected.version[chosen]

    with Journal.read(tmp_path) as journal:
        found = calibration_of(journal, SYMBOLS, HOUR_MS, settings)

    assert found.buckets == confidence_buckets(y, p)
    assert sum(bucket["rows"] for bucket in found.buckets) == len(y) > 200
    assert found.versions == [
        {"version": number, **scores(y[version == number], p[version == number])._asdict()}
        for number in (2, 1)
    ]
    assert found.waiting == int((rows["time_ms"] > last_ms).sum()) == 2 * settings.horizon_bars
    assert found.waiting + found.unknown + len(y) == len(rows)
    assert found.since_ms == int(expected.time_ms[chosen].min())


def test_the_newest_are_read_and_what_is_missing_has_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, _ = made(60)
    journal_with(tmp_path / "none", rows[:0])
    journal_with(tmp_path / "few", rows[:4])
    journal_with(tmp_path / "all", rows)

    def asked(name: str, settings: LearningSettings = SETTINGS) -> Any:
        with Journal.read(tmp_path / name) as journal:
            return calibration_of(journal, SYMBOLS, HOUR_MS, settings)

    assert asked("none").reason == "no model has said anything yet"
    few = asked("few")
    assert (few.waiting, few.unknown, few.reason) == (4, 0, "no outcome is known yet")
    assert "signal pays" in asked("all", replace(SETTINGS, asks=SIGNAL)).reason
    whole = asked("all")
    monkeypatch.setattr(calibration, "MOST_BARS", 20)
    cut = asked("all")
    assert cut.waiting + cut.unknown + sum(bucket["rows"] for bucket in cut.buckets) == 2 * 20
    assert cut.since_ms > whole.since_ms
