"""The demo's choice: the sweep that it names is run, and what the demo says and uses is what comes of it."""

import json
import re
import shlex
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from papertape.replay.backtesting.run import load_tapes
from papertape.replay.config import load_config
from papertape.replay.tapes.timestamps import utc_text
from tests.support.commands import Inside
from tests.support.shown import is_shown
from tests.test_readme import ROOT, TEXT

FILE = ROOT / "replay" / "config" / "demo.toml"
DEMO = load_config(FILE)
# Of the sweep: what it may vary.
KEYS = ["data.timeframe", "strategy.parameters.confidence_threshold", "strategy.parameters.target_atr"]


def said() -> tuple[str, list[str]]:
    """Return what the demo says of its choice, and the command that it names."""
    words, command = (DEMO.report.origin or "").splitlines()
    return words, shlex.split(command.partition("papertape ")[2])


def used() -> list[object]:
    """Return what the demo has of what the sweep varies."""
    parameters = DEMO.strategy.parameters
    return [DEMO.data.timeframe, parameters["confidence_threshold"], parameters["target_atr"]]


def plateau_of(trials: pd.DataFrame) -> list[object]:
    """
    Return the point whose neighbourhood has the best mean Sharpe ratio, the best of it left out.

    Neighbours of a point have the same timeframe and are at most one step away in either number; a second implementation.
    """
    means = {}
    for timeframe, part in trials.groupby("data.timeframe"):
        table = part.pivot(index=KEYS[1], columns=KEYS[2], values="sharpe")
        values = table.to_numpy()
        for row, column in np.ndindex(values.shape):
            near = np.sort(values[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].ravel())
            means[timeframe, table.index[row], table.columns[column]] = near[:-1].mean()
    return list(max(means, key=lambda point: means[point]))


def test_the_demo_shows_the_years_after_those_that_it_was_chosen_on() -> None:
    words, command = said()
    (end,) = (text.partition("=")[2] for text in command if text.startswith("data.end="))
    (tape,) = load_tapes(DEMO)
    first, last = (utc_text(int(tape.candles["open_ms"][place])) for place in (0, -1))

    assert DEMO.data.start is not None
    assert DEMO.data.end is None  # to the last candle that there is
    assert str(DEMO.data.start - timedelta(days=1))[:10] == end == "2021-12-31"
    assert words.startswith("Chosen on 2020 and 2021, shown on the two years after: ")
    assert (first[:10], last[:10]) == ("2020-01-01", "2024-01-01")


@pytest.mark.slow
def test_the_sweep_that_is_named_chooses_what_the_demo_uses(tmp_path: Path, inside: Inside) -> None:
    words, command = said()

    done = inside(*command, "--out", "first", "--json", cwd=tmp_path)

    found, trials = json.loads(done.stdout), pd.read_parquet(tmp_path / "first/trials.parquet")
    assert found["counts"] == {"done": len(trials)}
    assert [axis["key"] for axis in found["axes"]] == KEYS
    assert plateau_of(trials) == used()
    assert (
        re.findall(r"\d+(?= trials)", words) == re.findall(r"None of the (\d+)", words) == [str(len(trials))]
    )
    assert found["verdict"]["superior"] == 0  # "None of the 84"


def test_the_readme_shows_what_the_choice_comes_to(tmp_path: Path, inside: Inside) -> None:
    """No model takes part in the demo, so its account is that of the same configuration without any."""
    shown = TEXT.partition("$ papertape demo\n")[2].partition("```")[0]

    done = inside("replay", str(FILE), "--set", "signals.use_ml=false", cwd=tmp_path)

    head = shown.partition("\nretraining")[0].strip().splitlines()
    assert head[1:3] == (DEMO.report.origin or "").splitlines()
    assert is_shown(head, done.stdout), done.stdout
    assert re.findall(r"^digest \w+", shown, re.M) == re.findall(r"^digest \w+", done.stdout, re.M)
