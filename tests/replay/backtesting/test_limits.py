"""Limits in a result: what is counted, said, written, verified, drawn and refused; the page on limits runs as it stands."""

import json
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

from papertape.engine.errors import ConfigError
from papertape.replay import Result, backtest
from papertape.replay.backtesting.doubts import limits_doubts
from papertape.replay.backtesting.limits import limits_section
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import load_config, make_config
from papertape.replay.importers.sample import sample_tape

PAGE = Path(__file__).parents[3] / "deploy" / "docs" / "limits.md"
ASKED = {
    "strategy": "ema_cross",
    "use_ml": False,
    "start": "2021-05-01",
    "end": "2021-07-31",
    "account": {"sizing": "fraction", "fixed_fraction": 1.0},
    "report": {"sensitivity": False, "random_draws": 0},
}


@pytest.fixture(scope="module")
def result() -> Result:
    return backtest(sample_tape(), limits={"daily_loss": 0.02, "drawdown": 0.15}, **ASKED)


def test_days_that_lost_more_are_those_of_the_curve(result: Result) -> None:
    """Against pandas: the first close of each UTC day at which 2 % of the day's first equity were gone."""
    equity = result.equity["equity"]
    stamps = pd.DatetimeIndex(result.equity["time"]) - pd.Timedelta(
        hours=1
    )  # a close belongs to its candle's day
    frame = pd.DataFrame(
        {"day": stamps.normalize(), "equity": equity.to_numpy(), "close": result.equity["time"].to_numpy()}
    )
    before = frame.groupby("day")["equity"].last().shift(1).fillna(10_000.0)
    lost = 1.0 - frame["equity"] / frame["day"].map(before)
    expected = frame[lost >= 0.02].groupby("day")["close"].first()

    met = result.limit_table
    found = met[met["limit"] == "daily loss"]["time"]
    end = met[met["limit"] == "drawdown"]["time"].min()
    expected = expected[expected < end] if end is not pd.NaT else expected
    assert len(found) > 5
    assert found.dt.tz_localize(None).tolist() == pd.DatetimeIndex(expected).tz_localize(None).tolist()


def test_a_lock_without_an_end_is_said(result: Result) -> None:
    counts = result.summary["limits"]["counts"]
    assert counts["drawdown"] == 1
    said = [line for line in result.summary["doubts"] if "LOCKED since" in line]
    assert len(said) == 1
    assert "limits.drawdown_lock_days" in said[0]
    assert f"{counts['daily loss']} locks by the limit on daily loss." in result.summary["doubts"]
    assert "locked: limits.drawdown was met" in result.summary["refusals"]


def test_a_result_with_limits_is_written_verified_and_drawn(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")

    assert verify(folder).differences == ()
    assert "limits-section" in (folder / "report.html").read_text(encoding="utf-8")
    # As a version wrote it that had fewer keys: they default to what was done.
    path = folder / "result.json"
    saved = json.loads(path.read_text(encoding="utf-8"))
    for name in ("open_positions", "orders", "orders_hours", "groups"):
        del saved["config"]["limits"][name]
    path.write_text(json.dumps(saved), encoding="utf-8")
    assert verify(folder).differences == ()
    (folder / "limits.parquet").unlink()
    assert verify(folder).differences == (
        f"limits.parquet: missing, and there were {len(result.limits)} records",
    )


def test_without_limits_nothing_is_said_of_them() -> None:
    result = backtest(sample_tape(), **ASKED)

    assert "limits" not in result.summary
    assert limits_section(result.limits) == {}
    assert limits_doubts({}) == []
    assert not any("lock" in line for line in result.summary["doubts"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("limits.daily_loss=2", "limits.daily_loss: input should be less than 1, not 2"),
        ("limits.drawdown=-0.1", "limits.drawdown: input should be greater than or equal to 0"),
        ("limits.dayly_loss=0.1", "limits.dayly_loss: unknown key: did you mean 'daily_loss'?"),
        ("limits.losses=two", "limits.losses: input should be a valid integer"),
        ("limits.gross=nan", "limits.gross: input should be"),
    ],
)
def test_what_is_no_limit_is_one_sentence(change: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        load_config(None, [change])


def test_the_page_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (section,) = re.findall(r"```toml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)

    exec(compile(example, "limits.md", "exec"), {})  # noqa: S102

    assert "daily loss" in capsys.readouterr().out
    limits = make_config(tomllib.loads(section)).limits.limits()
    assert all(getattr(limits, entry.name) for entry in fields(limits))
