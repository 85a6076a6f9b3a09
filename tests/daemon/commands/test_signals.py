"""`papertape features` and `papertape study` as a user meets them."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import papertape
from papertape.daemon.cli import app
from papertape.engine.candles import HOUR_MS
from papertape.engine.features import evaluate
from papertape.engine.features.smc import SmartMoney
from papertape.replay.tapes.resample import resample
from papertape.replay.tapes.store import Store
from papertape.replay.tapes.synthetic import synthesize
from tests.support.commands import Inside

ROOT = Path(__file__).resolve().parents[3]
TAPE = synthesize("regimes", 3_000, "1h", seed=4)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a working folder whose store holds one synthetic tape."""
    Store(tmp_path / "tapes").save(TAPE)
    return tmp_path


def test_features_writes_columns_and_events_that_the_engine_says(folder: Path, inside: Inside) -> None:
    asked = ("--feature", "rsi_14", "--feature", "macd")
    done = inside("features", "--tape", "SYNTH", *asked, "--out", "seen", cwd=folder)

    assert done.returncode == 0, done.stderr
    assert "seen/features.parquet: 4 columns at 3,000 candles" in done.stdout
    assert {path.name for path in (folder / "seen").iterdir()} == {"features.parquet", "events.parquet"}
    columns = pd.read_parquet(folder / "seen/features.parquet")
    np.testing.assert_array_equal(columns["rsi_14"], evaluate("rsi_14", TAPE.candles)[0])
    assert list(columns)[:3] == ["bar", "time", "known_time"]
    assert (columns["bar"] == np.arange(3_000)).all()
    assert (columns["known_time"] - columns["time"] == pd.Timedelta("1h")).all()
    events = pd.read_parquet(folder / "seen/events.parquet")
    wanted = SmartMoney("1h").update(TAPE.candles)
    assert len(events) == len(wanted) > 1_000
    np.testing.assert_array_equal(events["known_at"], wanted["known_bar"])
    np.testing.assert_array_equal(events["top"], wanted["top"])
    opens = pd.to_datetime(TAPE.candles["open_ms"], unit="ms", utc=True)
    assert (opens[events["known_at"]] + pd.Timedelta("1h") == events["known_time"]).all()
    assert {"SWING", "BOS", "CHOCH", "OB", "FVG", "SWEEP"} <= set(events["kind"])
    assert set(events["timeframe"]) == {"1h"}
    assert {"internal", "swing"} <= set(events["scale"])
    assert {"HH", "LL"} <= set(events["tag"])


def test_features_of_ones_own_are_written_beside_the_built_in(folder: Path, inside: Inside) -> None:
    program = """
from papertape import table_feature

class Count:
    name = "count"
    state_fields = ("bars",)
    def update(self, candle):
        self.bars += 1
        return self.bars if self.bars != 2_900 or candle.volume >= 0 else None

count = Count()

@table_feature(look_back=5)
def spread(candles):
    return (candles["high"] - candles["low"]).rolling(5).mean()

class Bad(Count):
    name = "bad"
    def update(self, candle):
        return "text"

bad = Bad()
"""
    (folder / "mine_here.py").write_text(program)
    asked = ("--tape", "SYNTH", "--no-events", "--out", "seen")
    named = ("--feature", "mine_here:count", "--feature", "ema_5", "--feature", "mine_here:spread")
    done = inside("features", *asked, *named, cwd=folder)

    assert done.returncode == 0, done.stderr
    columns = pd.read_parquet(folder / "seen/features.parquet")
    assert list(columns)[3:] == ["count", "ema_5", "spread"]
    np.testing.assert_array_equal(columns["count"], np.arange(1.0, 3_001.0))
    high, low = TAPE.candles["high"], TAPE.candles["low"]
    expected = np.convolve(high - low, np.ones(5) / 5, "valid")
    np.testing.assert_allclose(columns["spread"][4:], expected, rtol=1e-9)
    assert columns["spread"][:4].isna().all()

    done = inside("features", *asked, "--feature", "mine_here:bad", cwd=folder)
    assert done.returncode == 1
    assert "feature bad: SYNTH, candle closed" in done.stderr
    assert "it returned 'text', which is no number" in " ".join(done.stderr.split())


def test_features_of_a_longer_timeframe_as_json(folder: Path, inside: Inside) -> None:
    arguments = ("--timeframe", "4h", "--feature", "ema_12", "--feature", "smc", "--no-events")
    done = inside("features", "--tape", "SYNTH", *arguments, "--out", "seen", "--json", cwd=folder)

    told = json.loads(done.stdout)
    longer = resample(TAPE, "4h")
    assert told["tape_sha256"] == longer.sha256
    assert (told["columns"][0], told["candles"]) == ("ema_12", len(longer.candles))
    assert (told["events"], told["event_counts"]) == (None, {})
    written = pd.read_parquet(folder / told["features"])
    wanted = [*evaluate("ema_12", longer.candles), *evaluate("smc", longer.candles, 4 * HOUR_MS)]
    for name, column in zip(told["columns"], wanted, strict=True):
        np.testing.assert_array_equal(written[name], column, name)
    assert not (folder / "seen/events.parquet").exists()


def test_study_prints_its_rules_and_writes_every_row(folder: Path, inside: Inside) -> None:
    done = inside(
        "study", "--tape", "SYNTH", "--horizon", "4", "--resamples", "200", "--out", "s", cwd=folder
    )

    assert done.returncode == 0, done.stderr
    for told in ("excess (95 %)", "false-discovery rate", "open of the candle after", "s/study.parquet"):
        assert told in done.stdout
    table = pd.read_parquet(folder / "s/study.parquet")
    assert set(table["horizon_bars"]) == {4}
    assert not table.duplicated(["symbol", "timeframe", "kind", "scale", "horizon_bars"]).any()
    counts = pd.Series(SmartMoney("1h").update(TAPE.candles)["kind"]).nunique()
    assert table["kind"].nunique() == counts


def test_study_of_several_timeframes_is_one_json_document(folder: Path, inside: Inside) -> None:
    arguments = ("--timeframe", "1h", "--timeframe", "4h", "--horizon", "2", "--horizon", "8")
    done = inside("study", "--tape", "SYNTH", *arguments, "--resamples", "100", "--json", cwd=folder)

    told = json.loads(done.stdout)
    assert [tape["candles"] for tape in told["tapes"]] == [3_000, 750]
    assert set(told["rows"]["timeframe"]) == {"1h", "4h"}
    assert told["options"]["horizons_bars"] == [2, 8]
    assert told["summary"]["rows"] == len(told["rows"]["kind"])
    assert (folder / told.pop("file")).is_file()
    assert json.loads((folder / "results/study/study.json").read_text()) == told


def test_study_of_series_says_of_each_whether_it_adds_anything(folder: Path, inside: Inside) -> None:
    closes = TAPE.candles["open_ms"] + HOUR_MS
    ratios = np.exp(np.random.default_rng(2).normal(size=len(closes)) * 0.1)
    rates = np.random.default_rng(3).normal(0.0, 1e-5, len(closes[7::8]))
    pd.DataFrame({"time": closes, "ratio": ratios}).to_csv(folder / "ratio.csv", index=False)
    pd.DataFrame({"time": closes[7::8], "rate": rates}).to_csv(folder / "rates.csv", index=False)
    files = ("--series", "long_short_ratio.SYNTH=ratio.csv", "--series", "funding.SYNTH=rates.csv")
    asked = ("study", "--tape", "SYNTH", *files, "--horizon", "4", "--resamples", "100")
    done = inside(*asked, cwd=folder)

    assert done.returncode == 0, done.stderr
    for told in ("SYNTH 1h funding: adds nothing after costs of 10 bps in 2 tests", "paid by every outcome"):
        assert told in done.stdout
    told = json.loads(inside(*asked, "--json", cwd=folder).stdout)
    assert [one["series"] for one in told["series"]] == ["funding", "long_short_ratio"]
    assert told["summary"]["tested"] == sum(one["tests"] for one in told["series"]) == 4
    paths = {"long_short_ratio": {"SYNTH": folder / "ratio.csv"}, "funding": {"SYNTH": folder / "rates.csv"}}
    table = papertape.study(TAPE, horizons=(4,), resamples=100, **paths)
    pd.testing.assert_frame_equal(table, pd.read_parquet(folder / told["file"]))


def test_one_symbol_of_two_venues_is_told_apart(folder: Path, inside: Inside) -> None:
    Store(folder / "tapes").save(replace(TAPE.between(end="2020-02-20"), venue="elsewhere"))
    tapes = ("--tape", "synthetic_SYNTH_1h", "--tape", "elsewhere_SYNTH_1h")
    done = inside("study", *tapes, "--horizon", "2", "--resamples", "100", "--json", cwd=folder)

    assert set(json.loads(done.stdout)["rows"]["symbol"]) == {"synthetic:SYNTH", "elsewhere:SYNTH"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("features", "--tape", "NOPE", "--out", "x"), 1, "NOPE"),
        (("features", "--feature", "rsy_14", "--out", "x"), 1, "unknown feature 'rsy_14'"),
        (
            ("features", "--feature", "BTC/USDT:USDT:ema_12:first@4h", "--out", "x"),
            1,
            "write --tape BTC/USDT:USDT --timeframe 4h --feature ema_12:first and join the files on known_time",
        ),
        (("features", "--tape", "SYNTH"), 2, "--out"),
        (("features", "--tape", "SYNTH", "--timeframe", "7h", "--out", "x"), 1, "unknown timeframe"),
        (("features", "--tape", "SYNTH", "--timeframe", "30m", "--out", "x"), 1, "no multiple"),
        (("features", "--tape", "SYNTH", "--out", "file/x"), 1, "cannot be written"),
        (("study", "--tape", "SYNTH", "--horizon", "0"), 1, "must be 1 bar or more"),
        (("study", "--tape", "SYNTH", "--resamples", "5"), 1, "fewer than 100"),
        (("study", "--tape", "SYNTH", "--rate", "2"), 1, "not between 0 and 1"),
        (("study", "--tape", "SYNTH", "--tape", "SYNTH"), 1, "twice"),
        (("study", "--tape", "SYNTH", "--series", "funding=x.csv"), 1, "like funding.BTCUSDT=funding.csv"),
        (("study", "--tape", "SYNTH", "--series", "fundin.SYNTH=x"), 1, "did you mean 'funding'?"),
        (("study", "--tape", "SYNTH", "--series", "funding.SYN=tapes"), 1, "no tape has that symbol"),
        (("study", "--tape", "SYNTH", *2 * ("--series", "mark.SYNTH=x")), 1, "named twice"),
    ],
)
def test_wrong_input_is_one_sentence_and_a_code(
    folder: Path, inside: Inside, arguments: tuple[str, ...], code: int, told: str
) -> None:
    (folder / "file").write_text("in the way")

    done = inside(*arguments, cwd=folder)

    assert done.returncode == code
    assert told in done.stderr
    assert not (folder / "x").exists()
    assert not (folder / "results").exists()


@pytest.mark.parametrize("command", ["features", "study"])
def test_help_has_an_example(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--help"])

    assert done.exit_code == 0
    assert f"papertape {command} " in done.stdout.split("Example", 1)[1]
