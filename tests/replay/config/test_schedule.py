"""`strategy.schedule`: parameters by time, from the configuration to a result that can be verified."""

from pathlib import Path
from typing import Any

import pytest

from papertape import backtest
from papertape.engine.errors import ConfigError
from papertape.engine.strategies import EmaCross
from papertape.replay.backtesting.verify import verify
from papertape.replay.config import make_config
from papertape.replay.config.spec import make_spec
from papertape.replay.tapes.synthetic import synthesize
from papertape.replay.tapes.tape import time_ms

TAPE = synthesize("regimes", 900, "1h", seed=5, symbol="SYNTH")
FIRST = int(TAPE.candles["open_ms"][0])
SCHEDULE = [
    {"start": "2020-01-15", "parameters": {"fast": 8}},
    {"start": "2020-01-25T06:00", "parameters": {"slow": 40}},
]
SETTINGS: dict[str, Any] = {
    "account": {"sizing": "all_in"},
    "signals": {"use_ml": False},
    "report": {"random_draws": 0},
}
STRATEGY = {"name": "ema_cross", "parameters": {"fast": 5, "slow": 20}}


def test_what_is_not_said_again_stays_and_days_are_utc() -> None:
    strategy = {**STRATEGY, "start": "2020-01-08", "schedule": SCHEDULE, "at_switch": "close"}

    spec = make_spec(make_config({"strategy": strategy}), [TAPE])

    assert [(turn.strategy.fast, turn.strategy.slow) for turn in spec.turns] == [(8, 20), (5, 40)]  # type: ignore[union-attr]
    assert [turn.start_ms for turn in spec.turns] == [time_ms("2020-01-15"), time_ms("2020-01-25T06:00")]
    assert (spec.starts_ms, spec.closes_at_turns) == (time_ms("2020-01-08"), True)
    assert spec.strategy == EmaCross(5, 20)


def test_a_result_with_a_schedule_is_verified(tmp_path: Path) -> None:
    strategy = {**STRATEGY, "schedule": SCHEDULE, "at_switch": "close"}
    result = backtest(TAPE, config=make_config({**SETTINGS, "strategy": strategy}))
    plain = backtest(TAPE, config=make_config({**SETTINGS, "strategy": STRATEGY}))

    result.save(tmp_path / "a")

    assert verify(tmp_path / "a").differences == ()
    assert result.digest != plain.digest
    # Up to the first switch both are one run.
    until = (time_ms("2020-01-15") - FIRST) // 3_600_000
    assert result.equity[:until].equals(plain.equity[:until])
    assert not result.equity.equals(plain.equity)


@pytest.mark.parametrize(
    ("strategy", "said"),
    [
        ({"schedule": [{"parameters": {"fast": 8}}]}, "strategy.schedule.0.start: field required"),
        ({"schedule": [{"start": 5}]}, "5 is a bare number"),
        ({"schedule": [{"start": "2020-01-15", "fast": 8}]}, "strategy.schedule.0.fast: unknown key"),
        ({"schedule": SCHEDULE[::-1]}, "entry 2 does not start after the one before it"),
        ({"schedule": [{"start": "2020-01-15", "parameters": {"fast": 30}}]}, "30 is not between 1"),
        ({"schedule": [{"start": "2020-01-15", "parameters": {"fats": 3}}]}, "fats: unknown: did you mean"),
    ],
)
def test_a_schedule_that_cannot_be(strategy: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_spec(make_config({"strategy": {**STRATEGY, **strategy}}), [TAPE])
