"""Backtests end to end: the API of notebooks, results on disk, verification, sensitivity, honesty of what is said."""

import errno
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import papertape.replay.backtesting.result as result_module
from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import ConfigError, DataError, StrategyError
from papertape.engine.jit import Rows
from papertape.replay import Result, Tape, backtest
from papertape.replay.backtesting.verify import verify
from tests.support.helpers import random_candles


def tape(symbol: str = "TEST", n: int = 900, seed: int = 1, timeframe: str = "1h", **more: Any) -> Tape:
    rows = more.pop("rows", None)
    candles = random_candles(n, seed, timeframe) if rows is None else rows
    return Tape(candles, "binance-usdm", symbol, timeframe, source="made in a test", **more)


@pytest.fixture(scope="module")
def result() -> Result:
    return backtest(tapes=[tape()], confidence_threshold=0.3, initial_capital=5_000.0)


def test_result_has_metrics_tables_and_frames(result: Result) -> None:
    assert result.metrics["trades"] == len(result.trades) > 10
    assert result.metrics["final_equity"] == pytest.approx(float(result.equity["equity"].iloc[-1]))
    assert len(result.equity) == 900
    assert result.equity["time"].is_monotonic_increasing
    assert set(result.trades["side"]) == {"long", "short"}
    assert sum(row["trades"] for row in result.summary["breakdown"]["side"]) == len(result.trades)
    assert all(name in result.undefined for name, v in result.metrics.items() if v is None)


def test_profit_by_component_adds_up_to_the_change_of_equity(result: Result) -> None:
    by_component = sum(row["pnl_quote"] for row in result.summary["breakdown"]["component"])

    assert by_component == pytest.approx(result.equity["equity"].iloc[-1] - 5_000.0, abs=1e-8)
    assert by_component == pytest.approx(result.trades["pnl"].sum(), abs=1e-8)


def test_buy_and_hold_is_one_figure_on_the_whole_page(result: Result) -> None:
    beside = result.summary["benchmarks"]["buy_and_hold"]["total_return"]

    assert beside == pytest.approx(result.metrics["buy_and_hold_return"], rel=1e-12)


def test_sensitivity_has_double_costs_and_a_later_candle(result: Result) -> None:
    names = [row["name"] for row in result.summary["sensitivity"]]

    assert names == ["as configured", "costs ×2", "one 1h candle later"]
    plain, dear, _ = result.summary["sensitivity"]
    assert dear["total_return"] < plain["total_return"]


def test_what_is_missing_is_said(result: Result) -> None:
    assert any("No model took part" in line for line in result.summary["warnings"])
    assert any("No funding is included" in line for line in result.summary["warnings"])
    spot = {"kind": "spot"}
    quiet = backtest(tapes=[tape(n=200)], use_ml=False, use_smc=False, market=spot)
    assert not quiet.summary["warnings"]


def test_synthetic_absent_and_flagged_candles_are_counted_in_the_result() -> None:
    rows = random_candles(300, 2)
    rows["flag_bits"][5:9] |= FLAG_SYNTHETIC
    rows = np.delete(rows, slice(100, 107))

    found = backtest(tapes=[tape(rows=rows)]).summary

    assert found["tapes"][0]["is_synthetic"] is True
    assert found["tapes"][0]["flags"] == {"synthetic": 4}
    assert found["tapes"][0]["missing"] == 7
    assert found["warnings"][0].startswith("SYNTHETIC DATA")
    assert any(line.startswith("7 of 300 candles were not recorded") for line in found["warnings"])


def test_the_same_backtest_twice_is_the_same_result(result: Result) -> None:
    again = backtest(tapes=[tape()], confidence_threshold=0.3, initial_capital=5_000.0)

    assert again.digest == result.digest
    assert again.metrics == result.metrics
    pd.testing.assert_frame_equal(again.trades, result.trades)


@pytest.mark.asyncio
async def test_it_runs_inside_a_running_event_loop(result: Result) -> None:
    async def in_a_notebook() -> str:
        return backtest(tapes=[tape()], confidence_threshold=0.3, initial_capital=5_000.0).digest

    assert (await in_a_notebook()) == result.digest


def test_hours_on_minutes_fill_on_minutes() -> None:
    found = backtest(
        tapes=[tape(n=6_000, timeframe="1m")],
        timeframe="1h",
        strategy="ema_cross",
        parameters={"fast": 3, "slow": 8},
        account={"sizing": "fraction"},
    )

    assert found.summary["base_timeframe"] == "1m"
    assert len(found.equity) == 6_000
    # Decisions come at full hours; fills at the open of the minute after.
    assert (found.trades["decided_time"].dt.minute == 0).all()
    assert (found.trades["entry_time"] == found.trades["decided_time"]).all()
    assert len(found.candles["TEST"]) == 100


def test_portfolio_shares_one_account() -> None:
    tapes = [tape(f"S{seed}", seed=seed) for seed in (5, 4, 3, 2, 1)]

    found = backtest(tapes=tapes, confidence_threshold=0.3)

    assert found.summary["symbols"] == ["S1", "S2", "S3", "S4", "S5"]
    assert set(found.trades["symbol"]) == set(found.summary["symbols"])
    assert found.equity["open_positions"].max() > 1


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"timeframe": "30m"}, ConfigError, "30m is not a multiple of the base timeframe 1h"),
        ({"timeframe": "7h"}, ConfigError, "data.timeframe"),
        ({"start": "2030-01-01"}, DataError, "no candle between"),
        ({"strategy": "confluense"}, ConfigError, "did you mean 'confluence'"),
        ({"parameters": {"stop_art": 1}}, ConfigError, "did you mean 'stop_atr'"),
        ({"parameters": {"stop_atr": -1.0}}, ConfigError, "not at least 0.01; the nearest is 0.01"),
        ({"account": {"leverage": 3}}, ConfigError, "did you mean 'leverage_cap'"),
    ],
)
def test_wrong_request_is_one_clear_sentence(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        backtest(tapes=[tape(n=100)], **options)


def test_different_timeframes_are_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match="tape resample"):
        backtest(tapes=[tape("A"), tape("B", timeframe="15m")])


def test_saved_result_verifies_and_a_flipped_byte_is_named(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")
    tapes = [tape()]

    assert verify(folder, tapes).is_equal

    fills = folder / "fills.parquet"
    data = bytearray(fills.read_bytes())
    price = np.float64(result.fills[7].price).tobytes()
    place = data.find(price)
    assert place > 0
    data[place] ^= 1
    fills.write_bytes(data)

    verdict = verify(folder, tapes)
    assert not verdict.is_equal
    assert verdict.differences[0].startswith("fills.parquet record 7 field price: saved ")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s["metrics"].update(sharpe=9.9), "result.json: metrics.sharpe: saved 9.9, now "),
        (lambda s: s.update(digest="00"), "result.json: digest: saved '00', now "),
        (lambda s: s["breakdown"]["side"][0].update(trades=1), "breakdown.side[0].trades"),
    ],
)
def test_changed_summary_is_named(result: Result, tmp_path: Path, change: Any, told: str) -> None:
    folder = result.save(tmp_path / "out")
    summary = json.loads((folder / "result.json").read_text())
    change(summary)
    (folder / "result.json").write_text(json.dumps(summary))

    assert told in verify(folder, [tape()]).differences[0]


def test_changed_trade_and_other_candles_are_noticed(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")
    trades = pd.read_parquet(folder / "trades.parquet")
    trades.loc[3, "pnl"] += 1e-9
    trades.to_parquet(folder / "trades.parquet")

    assert verify(folder, [tape()]).differences[0].startswith("trades.parquet record 3 field pnl")
    with pytest.raises(DataError, match="the candles have changed"):
        verify(folder, [tape(seed=2)])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "damaged: Expecting value"),
        ("{", "damaged: Expecting property name"),
        ("[]", "damaged: it has no format number"),
        ('{"format": 0}', "damaged: it has no format number"),
        ('{"format": true}', "damaged: it has no format number"),
        ('{"format": 99}', "format 99 is newer than 1; update papertape"),
        ('{"format": 1}', "damaged: no 'config'"),
    ],
)
def test_damaged_or_newer_result_is_refused(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "result.json").write_text(content)

    with pytest.raises(DataError, match=told):
        verify(tmp_path, [tape()])
    with pytest.raises(DataError, match="not a result folder"):
        verify(tmp_path / "none")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_full_disk_or_a_kill_leaves_no_half_result(
    result: Result, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    target = result.save(tmp_path / "out")
    before = (target / "result.json").read_bytes()

    def fail(path: Path, records: Rows) -> None:
        path.write_bytes(b"half")
        raise failure

    monkeypatch.setattr(result_module, "write_records", fail)

    with pytest.raises((DataError, KeyboardInterrupt)) as caught:
        result.save(target)

    if isinstance(failure, OSError):
        assert "No space left on device" in str(caught.value)
    assert {path.name for path in tmp_path.iterdir()} == {"out"}
    assert (target / "result.json").read_bytes() == before


def test_folder_of_something_else_is_left_alone(result: Result, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")

    with pytest.raises(DataError, match="not a result folder"):
        result.save(tmp_path / "photos")

    assert files(tmp_path) == {"photos", "photos/cat.jpg"}


def test_plot_writes_one_page(result: Result, tmp_path: Path) -> None:
    page = result.plot(tmp_path / "page.html")

    assert page.read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html>")


def test_the_report_can_hold_a_study_of_what_followed_each_event() -> None:
    report = {"study": True, "sensitivity": False}
    found = backtest(tapes=[tape(n=1_500)], report=report, retrain_every="never")

    study = found.summary["study"]
    assert study["summary"]["rows"] == len(study["rows"]["kind"]) > 20
    assert study["sentence"]
    assert "BOS" in study["rows"]["kind"]
    assert study["sentence"] in found.report()


@pytest.mark.parametrize("gaps", ["absent", "skip"])
def test_a_market_that_is_read_only_changes_no_figure(gaps: str) -> None:
    """Longer than what is traded, without volume, with candles where it has none, and before it by name: nothing changes."""
    other = random_candles(1_500, 9)
    other["open_ms"] -= 300 * 3_600_000
    other["volume"] = 0.0
    asked = {"confidence_threshold": 0.3, "gaps": gaps}
    holed = tape("ETH", rows=np.delete(random_candles(900, 1), [100, 101, 350]))
    read_only = {"BTC": {"read_only": True}}

    alone = backtest(tapes=[holed], **asked).summary
    beside = backtest(tapes=[holed, tape("BTC", rows=other)], markets=read_only, **asked).summary

    assert alone["metrics"]["trades"] > 10
    for part in ("metrics", "benchmarks", "sensitivity", "monthly", "refusals", "start", "end"):
        assert beside[part] == alone[part], part
    assert beside["markets"]["BTC"]["read_only"]
    assert beside["symbols"] == ["BTC", "ETH"]


@pytest.mark.parametrize("asks", [1, 3])
def test_a_strategy_that_fails_is_asked_about_no_other_candle(tmp_path: Path, asks: int) -> None:
    """It was asked about the rest of its batch, up to 2,048 candles, before the replay ended with its first fault."""
    asked = tmp_path / "asked"

    class Fails:
        features = ("close",)

        def decide(self, view: Any) -> None:
            with asked.open("a") as file:
                file.write(f"{view.time_ms}\n")
            if len(asked.read_text().split()) >= asks:
                raise ValueError("no such thing")

    tape = Tape(random_candles(300, 1), "test", "BTCUSDT", "1h", source="random")
    closes = (tape.candles["open_ms"] + 3_600_000).tolist()

    with pytest.raises(StrategyError, match=r"BTCUSDT, candle closed .*: ValueError: no such thing"):
        backtest(tapes=[tape], strategy=Fails)

    assert list(map(int, asked.read_text().split())) == closes[:asks]
