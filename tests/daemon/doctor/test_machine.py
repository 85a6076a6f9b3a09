"""The doctor: what it says of a healthy venue, of a strange one, of one that cannot be used, and of the machine."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner, Result

from papertape.daemon.cli import app
from papertape.daemon.doctor.ccxt_venue import examine_library_venue
from papertape.daemon.doctor.exam import Exam
from papertape.daemon.doctor.examine import examine_venue
from papertape.daemon.doctor.finding import QUESTIONS, Finding, FindingStatus
from papertape.daemon.doctor.fixtures import Fixtures
from papertape.daemon.doctor.listen import Heard, HeardFrame
from papertape.daemon.doctor.machine import examine_config, examine_machine
from papertape.daemon.doctor.rest import clock_finding
from papertape.daemon.doctor.streams import judge_no_trade, judge_publishing, judge_start_stamps
from papertape.engine.candles import MINUTE_MS, empty_candles
from papertape.replay.config import load_config
from papertape.replay.runtime.clock import Clock, WallClock
from papertape.replay.sources.delta_profiles import find_profile
from tests.support.binance_server import BinanceServer
from tests.support.delta_server import DeltaStreams
from tests.support.loopback import in_virtual_time, serving, serving_beside

START_MS = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
Change = Callable[[DeltaStreams], None]


def examine(
    change: Change = lambda venue: None, record: Path | None = None, start_ms: int = START_MS, **options: Any
) -> dict[str, Finding]:
    """Examine a scripted venue in virtual time; return the findings by row."""

    async def main() -> list[Finding]:
        clock = Clock(start_ms)
        venue = DeltaStreams(clock)
        change(venue)
        async with serving(venue.handle) as url, serving(venue.serve_legacy) as legacy:
            profile = find_profile(
                "india",
                rest_url=url,
                compact_url=url.replace("http", "ws"),
                legacy_url=legacy.replace("http", "ws"),
            )
            with Fixtures(record) as fixtures:
                exam = Exam(profile, is_required=True)._replace(**options)
                return await examine_venue(exam, clock, fixtures)

    found = in_virtual_time(main())
    return {row.check if row.row in ("venue", "stream") else row.row: row for row in found}


def statuses(found: dict[str, Finding]) -> dict[str, str]:
    return {row: finding.status.value for row, finding in found.items()}


def failed(found: dict[str, Finding]) -> set[str]:
    return {row for row, finding in found.items() if finding.status is FindingStatus.FAILED}


def test_a_venue_as_expected_passes_every_row_that_four_minutes_can_show() -> None:
    found = examine()

    assert {row for row, s in statuses(found).items() if s == "not run"} == {"9", "11", "12", "14", "15"}
    assert not failed(found)
    assert set(QUESTIONS) <= set(found)
    assert "on every frame of BTCUSD 1m" in found["1"].observed
    assert "MARK:BTCUSD 1m" in found["1"].observed
    assert found["2"].observed == "3 of 3 equal the history, 0 came after the next one's first"
    assert found["3"].observed == "THINUSD: 2 silent"
    assert "each 2000 ms (median), on change only" in found["4"].observed
    assert found["5"].observed == "10.0 s (median), at most 10.0 s; fields: ['ts_publish']"
    assert found["6"].observed == "no: Subscription forbidden: Invalid channel array"
    assert "4001 of 5000 bars, newest first" in found["7"].observed
    assert "a minute is final 1 s after its end" in found["7"].observed
    assert found["8"].observed == "1 pages of 2; 9 in all, 2 live perpetuals"
    assert found["10"].observed == "weeks begin on Monday; 12h is refused"
    assert found["13"].observed == "list of 50; unknown symbol: list of 0"


@pytest.mark.parametrize(
    ("change", "row", "told"),
    [
        (lambda v: setattr(v, "has_start", False), "1", "the client derives it"),
        (lambda v: setattr(v, "is_legacy_alive", True), "6", "still serves candles, long keys"),
        (lambda v: setattr(v, "cap", 1234), "7", "1235 of 5000 bars"),
    ],
)
def test_what_is_only_different_is_told_and_is_no_failure(change: Change, row: str, told: str) -> None:
    found = examine(change)

    assert found[row].status is FindingStatus.DIFFERS
    assert told in found[row].observed
    assert not failed(found)


def test_a_missing_final_frame_shows_in_the_comparison_with_the_history() -> None:
    found = examine(lambda venue: setattr(venue, "has_final", False))

    assert found["2"].observed.startswith("0 of 3 equal the history")
    assert not failed(found)


def test_frames_that_cannot_be_read_are_a_failure() -> None:
    found = examine(lambda venue: setattr(venue, "garble", lambda text: text[:-5]))

    assert failed(found) == {"the client can read every frame", "1", "2"}
    assert "not_json" in found["the client can read every frame"].observed


def test_a_stream_without_a_candle_that_closes_is_a_failure() -> None:
    found = examine(minutes=1.0)

    assert failed(found) == {"2"}
    assert "no candle of BTCUSD closed" in found["2"].observed


def test_an_unknown_symbol_and_a_venue_that_is_away_are_failures_when_it_was_asked_for() -> None:
    unknown = examine(symbol="NOUSD")
    away = examine(
        profile=find_profile("india", rest_url="http://127.0.0.1:9", compact_url="ws://127.0.0.1:9")
    )

    for found in (unknown, away):
        assert failed(found) == {"the venue's REST interface"}
        assert set(statuses(found).values()) == {"FAILED", "not run"}


def test_without_internet_nothing_fails_and_every_row_is_named() -> None:
    profile = find_profile("india", rest_url="http://127.0.0.1:9", compact_url="ws://127.0.0.1:9")

    found = examine(profile=profile, is_required=False)

    assert set(statuses(found).values()) == {"not run"}
    assert {"1", "2", "3", "4", "5", "6", "7", "8", "10", "11", "13", "14", "15"} <= set(found)


def test_a_long_examination_sees_a_settlement_and_how_long_the_line_lasts() -> None:
    settles_ms = (START_MS // 3_600_000 + 1) * 3_600_000  # 11:00

    found = examine(
        lambda venue: setattr(venue, "settles_ms", settles_ms),
        start_ms=settles_ms - 269_000,  # 10:55:31
        is_long=True,
        minutes=10.0,
    )

    assert found["11"].observed == "last estimate 0.0073%, the bar 0.0073%"
    assert found["15"].observed.startswith("10.0 min without a cut")
    assert found["2"].observed.startswith("9 of 9")
    assert not failed(found)


def test_a_line_that_is_cut_is_told_with_how_long_it_lasted() -> None:
    found = examine(lambda v: setattr(v, "cut_after_s", 130.0), is_long=True, minutes=10.0)

    assert found["15"].status is FindingStatus.DIFFERS
    assert found["15"].observed.startswith("2.2 min: closed by the venue, code 1012")
    assert found["11"].status is FindingStatus.NOT_RUN


def test_another_global_host_is_tried_when_it_is_given() -> None:
    assert examine(global_url="ws://127.0.0.1:9")["14"].status is FindingStatus.DIFFERS


def test_frames_and_answers_are_recorded_as_they_came(tmp_path: Path) -> None:
    examine(record=tmp_path / "fixtures")

    folder = tmp_path / "fixtures"
    frames = [json.loads(line) for line in (folder / "compact.jsonl").read_text().splitlines()]
    answers = [json.loads(path.read_text()) for path in sorted(folder.glob("rest-*.json"))]

    assert {json.loads(frame["text"])["type"] for frame in frames} >= {
        "subscriptions",
        "heartbeat",
        "candlestick_1m",
        "funding_rate",
    }
    assert (folder / "legacy.jsonl").is_file()
    assert answers[0]["path"] == "/v2/products/BTCUSD"
    assert json.loads(answers[0]["text"])["result"]["symbol"] == "BTCUSD"
    assert {answer["status"] for answer in answers} == {200, 400}


def heard(*frames: dict[str, Any], minutes: int = 5) -> Heard:
    """Return frames as if heard; each says in `at` how many seconds after the start it came."""
    start_ms = START_MS // MINUTE_MS * MINUTE_MS
    found = [HeardFrame(start_ms + round(frame.pop("at") * 1000), json.dumps(frame)) for frame in frames]
    return Heard("ws://x", start_ms, start_ms + minutes * MINUTE_MS, found, "")


def frame(at: float, minute: int = 0, volume: float | None = 1.0, **change: Any) -> dict[str, Any]:
    start_us = (START_MS // MINUTE_MS + minute) * MINUTE_MS * 1000
    stamp = START_MS // MINUTE_MS * MINUTE_MS * 1000 + round(at * 1e6)
    values = {"o": 1.0, "h": 1.0, "l": 1.0, "c": 1.0} if volume is not None else dict.fromkeys("ohlc")
    return {
        "at": at,
        "type": "candlestick_1m",
        "sy": "X",
        "res": "1m",
        "ts": stamp,
        "cst": start_us,
        "v": volume or 0.0,
        **values,
        **change,
    }


def test_a_start_off_the_grid_or_long_ago_is_no_start() -> None:
    good = frame(1.0)
    off, text = frame(2.0, cst=good["cst"] + 1), frame(3.0, cst=str(good["cst"]))

    found = judge_start_stamps(heard(good, off, text))

    assert found.status is FindingStatus.DIFFERS
    assert "X 1m 1 of 3" in found.observed


@pytest.mark.parametrize(
    ("frames", "told"),
    [
        ([], "X: 1 silent"),
        ([frame(61.0, 1, None)], "X: 1 null prices"),
        ([frame(61.0, 1, 0.0)], "X: 1 flat, volume 0"),
    ],
)
def test_a_minute_without_a_trade_is_told_by_what_the_stream_said(
    frames: list[dict[str, Any]], told: str
) -> None:
    history = empty_candles(1)
    history["open_ms"] = (START_MS // MINUTE_MS + 1) * MINUTE_MS

    found = judge_no_trade(heard(*[dict(f) for f in frames]), "X", history)

    assert found.observed == told
    assert (found.status is FindingStatus.OK) == ("silent" in told)


def test_repeated_states_mean_a_timer() -> None:
    found = judge_publishing(heard(frame(0.5), frame(1.0), frame(1.5), frame(2.0, volume=2.0)), "X")

    assert found.observed == "first after 0.5 s; then each 500 ms (median), 2 of 3 repeat the one before"


@pytest.mark.parametrize(
    ("offset_ms", "status"),
    [(12.0, "ok"), (-4_900.0, "ok"), (9_000.0, "differs"), (-31_000.0, "FAILED"), (None, "differs")],
)
def test_clocks_that_are_half_a_minute_apart_cannot_trade(offset_ms: float | None, status: str) -> None:
    assert clock_finding(offset_ms).status.value == status


def test_this_machine_is_fit_enough_to_run_the_tests(tmp_path: Path) -> None:
    found = {row.check: row for row in examine_machine(tmp_path / "not" / "there")}

    assert set(found) == {
        "Python",
        "aiohttp",
        "ccxt",
        "cores",
        "disk space",
        "fsync",
        "clock",
        "kernel cache",
    }
    for name in ("Python", "aiohttp", "ccxt", "clock"):
        assert found[name].status is FindingStatus.OK
    assert str(tmp_path) in found["disk space"].observed
    assert not (tmp_path / "not").exists()


def test_a_kernel_cache_that_cannot_be_made_is_told_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("papertape.daemon.doctor.machine.cache_directory", lambda: tmp_path / "file" / "k")

    found = {row.check: row for row in examine_machine(tmp_path)}

    assert found["kernel cache"].status is FindingStatus.DIFFERS
    assert "PAPERTAPE_CACHE_DIR" in found["kernel cache"].observed


def test_relative_folders_of_the_environment_are_told_as_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("papertape.daemon.doctor.machine.cache_directory", lambda: tmp_path / "k")
    monkeypatch.delenv("PAPERTAPE_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "caches")
    monkeypatch.setenv("HOME", str(tmp_path))

    told = {row.check: row for row in examine_machine(tmp_path)}["kernel cache"].observed
    assert told == f"{tmp_path / 'k'}, 0 kernels; XDG_CACHE_HOME=caches passed over: not absolute"

    monkeypatch.setenv("PAPERTAPE_CACHE_DIR", str(tmp_path))
    assert "passed over" not in {row.check: row for row in examine_machine(tmp_path)}["kernel cache"].observed


def test_a_strategy_that_does_not_exist_is_found() -> None:
    found = examine_config(load_config(None, ["strategy.name=ema_kross"]), "x.toml")

    assert found.status is FindingStatus.FAILED
    assert "ema_cross" in found.observed


def test_a_venue_of_the_library_is_asked_for_every_symbol() -> None:
    async def main() -> list[Finding]:
        clock = Clock(START_MS)
        server = BinanceServer(clock, ["BTCUSDT"])
        async with serving(server.handle) as url:
            return await examine_library_venue("binance", ["BTCUSDT", "ETHUSDT"], "1m", clock, base_url=url)

    found = {row.check: row for row in in_virtual_time(main())}

    assert found["candles of BTCUSDT"].observed == "10 of binance-spot BTCUSDT"
    assert found["candles of ETHUSDT"].status is FindingStatus.FAILED
    assert "did you mean 'BTCUSDT'" in found["candles of ETHUSDT"].observed
    assert found["stream of candles"].observed == "watchOHLCV"
    assert found["the venue's clock minus ours"].status is FindingStatus.OK


def test_a_venue_of_the_library_that_is_away_fails_when_it_was_asked_for() -> None:
    async def main() -> list[Finding]:
        return await examine_library_venue(
            "binance", [], "1m", Clock(START_MS), base_url="http://127.0.0.1:9"
        )

    (found,) = in_virtual_time(main())

    assert found.status is FindingStatus.FAILED
    assert "binance load_markets" in found.observed


def doctor(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["doctor", *[str(a) for a in arguments]])


def test_the_command_without_a_venue_checks_the_machine_alone(tmp_path: Path) -> None:
    config = tmp_path / "live.toml"
    config.write_text(f'[live]\nsymbols = ["BTCUSD"]\n[daemon]\nstate = "{tmp_path}/state"\n')

    done = doctor(config, "--offline", "--json")
    rows = json.loads(done.output)

    assert done.exit_code == 0
    assert {row["row"] for row in rows} == {"machine"}
    assert rows[-1]["observed"] == "delta, BTCUSD at 1m"


def test_the_command_fails_when_the_client_could_not_work() -> None:
    """Two seconds are too short for a candle to close: everything else is there."""

    def make() -> Callable[[web.Request], Any]:
        return DeltaStreams(WallClock()).handle

    with serving_beside(make) as url:
        done = doctor(
            "--rest-url",
            url,
            "--compact-url",
            url.replace("http", "ws"),
            "--minutes",
            "0.02",
            "--thin",
            "THINUSD",
        )

    assert done.exit_code == 1
    assert "FAILED" in done.output
    assert "not run: " in done.output


def test_help_has_an_example() -> None:
    assert "Example: papertape doctor" in doctor("--help").output
    assert asyncio.iscoroutinefunction(examine_venue)
