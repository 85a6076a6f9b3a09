"""The local exchange's tape happens now, or when it was recorded, and jobs are done by its clock."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from papertape.daemon.journal import InlineWriter, Journal
from papertape.daemon.runtime.jobs import Job, Jobs, JobStats, Pace
from papertape.daemon.runtime.tape_time import WEEK_MS, first_live_ms, moved, placed, way_to_now
from papertape.engine.candles import DAY_MS, HOUR_MS, MINUTE_MS
from papertape.replay.config import Config, make_config
from papertape.replay.runtime.clock import Clock
from papertape.replay.runtime.loops import PacedLoop, freezing
from papertape.replay.tapes.synthetic import synthesize
from tests.support.journals import identity
from tests.support.loopback import in_virtual_time

TAPE = synthesize("noise", 1_000, "1h", symbol="BTCUSDT")
FIRST_MS = int(TAPE.candles["open_ms"][0])
START_MS = FIRST_MS + 100 * HOUR_MS  # of the stream, with a hundred candles of history
NOW_MS = START_MS + 3_000 * DAY_MS + 5 * HOUR_MS + 1_234_567  # a Thursday's 100th hour is no weekday of now


def config(state: Path, speed: float, tape_times: str = "now", timeframe: str = "1h") -> Config:
    live = {"venue": "sim", "history_bars": 100, "speed": speed, "tape_times": tape_times}
    return make_config({"live": live, "daemon": {"state": str(state)}, "data": {"timeframe": timeframe}})


def test_the_stream_begins_after_its_history() -> None:
    assert first_live_ms([TAPE], 100) == (START_MS, 100)
    assert first_live_ms([TAPE], 5_000) == (FIRST_MS + 499 * HOUR_MS, 499)  # at most half of 999 steps


@pytest.mark.parametrize(("timeframe", "step_ms"), [("1h", HOUR_MS), ("4h", 4 * HOUR_MS)])
def test_at_the_own_speed_the_stream_goes_on_now(timeframe: str, step_ms: int, tmp_path: Path) -> None:
    """On the strategy's grid: 3,000 days, 5 hours and a rest of 20 minutes later."""
    by_ms = way_to_now(config(tmp_path, 1.0, timeframe=timeframe), [TAPE], NOW_MS)

    assert by_ms == 3_000 * DAY_MS + 5 * HOUR_MS // step_ms * step_ms
    assert 0 <= NOW_MS - (START_MS + by_ms) < step_ms


def test_at_another_speed_weekdays_and_hours_stay(tmp_path: Path) -> None:
    """3,000 days are 428 weeks and 4 days: the first week that is not past is the 429th."""
    by_ms = way_to_now(config(tmp_path, 3_600.0), [TAPE], NOW_MS)

    assert by_ms == 429 * WEEK_MS
    assert 0 <= START_MS + by_ms - NOW_MS < WEEK_MS


def test_a_tape_is_moved_once_and_keeps_its_times_over_restarts(tmp_path: Path) -> None:
    first, told = placed(config(tmp_path, 3_600.0), [TAPE], NOW_MS)
    later, _ = placed(config(tmp_path, 3_600.0), [TAPE], NOW_MS + 100 * DAY_MS)

    by_ms = 429 * WEEK_MS
    assert first[0].candles["open_ms"].tolist() == (TAPE.candles["open_ms"] + by_ms).tolist()
    assert later[0].candles.tobytes() == first[0].candles.tobytes()
    assert first[0].notes[-1] == f"dates moved by {by_ms} ms"
    assert "moved by 3,003 days" in told
    assert "live.tape_times = recorded keeps them" in told


def test_recorded_times_can_be_kept_and_an_older_journal_keeps_them(tmp_path: Path) -> None:
    assert placed(config(tmp_path / "a", 1.0, "recorded"), [TAPE], NOW_MS) == ([TAPE], "")

    (tmp_path / "b").mkdir()
    with Journal.open(tmp_path / "b", 0) as journal:
        journal.commit([lambda j: j.set_meta(identity=identity().as_json())])
    assert placed(config(tmp_path / "b", 1.0), [TAPE], NOW_MS) == ([TAPE], "")


def test_moving_changes_times_alone() -> None:
    again = moved(moved(TAPE, 7 * DAY_MS), -7 * DAY_MS)

    assert again.candles.tobytes() == TAPE.candles.tobytes()


def run_jobs(tmp_path: Path, at_least_s: float) -> tuple[dict[str, list[int]], Any]:
    """Do two jobs for three days of a clock that begins in 2031, and return when each ran, and their rows."""
    ran: dict[str, list[int]] = {"often": [], "daily": []}
    start_ms = 1_924_992_000_000 + 7 * HOUR_MS  # 2031-01-01 07:00 UTC

    async def main() -> Any:
        clock = Clock(start_ms)

        def noting(name: str) -> Any:
            async def run() -> str:
                ran[name].append(clock.now_ms() - start_ms)
                return "ok"

            return run

        jobs = [
            Job("often", IntervalTrigger(seconds=600, timezone="UTC"), noting("often")),
            Job("daily", CronTrigger(hour=0, minute=5, timezone="UTC"), noting("daily")),
        ]
        with Journal.open(tmp_path, 0) as journal:
            pace = Pace(clock.now_ms, freezing(), at_least_s)
            doing = asyncio.create_task(Jobs(jobs, InlineWriter(journal), JobStats(), lambda: 77, pace).run())
            await clock.sleep(3 * 86_400.0 - 1.0)
            doing.cancel()
            await asyncio.wait([doing])
            return journal.all("SELECT DISTINCT outcome, started_ms, cause FROM job_runs")

    return ran, in_virtual_time(main())


def test_jobs_go_by_the_clock_of_the_exchange(tmp_path: Path) -> None:
    ran, rows = run_jobs(tmp_path, at_least_s=0.0)

    assert ran["often"] == [n * 10 * MINUTE_MS for n in range(1, 3 * 144)]
    assert ran["daily"] == [(17 * 60 + 5) * MINUTE_MS + n * DAY_MS for n in range(3)]
    assert rows == [("done", 77, "schedule")]  # what others compare with their own clock is the machine's


def test_at_a_great_speed_jobs_do_not_crowd_out_the_candles(tmp_path: Path) -> None:
    """Three days pass in a moment, within which each is done once."""
    ran, rows = run_jobs(tmp_path, at_least_s=1e6)

    assert {name: len(times) for name, times in ran.items()} == {"often": 1, "daily": 1}
    assert rows == [("done", 77, "schedule")]  # nothing counts as missed


def test_a_paced_loop_tells_the_speed_that_it_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten of its seconds within two of the machine's are five times as fast."""
    with asyncio.Runner(loop_factory=lambda: PacedLoop(1e9)) as runner:
        runner.run(asyncio.sleep(10.0))
        loop = runner.get_loop()
        assert isinstance(loop, PacedLoop)
        monkeypatch.setattr("papertape.replay.runtime.loops.time.monotonic", lambda: loop._made_s + 2.0)

        assert loop.effective_speed == pytest.approx(5.0, rel=1e-3)
