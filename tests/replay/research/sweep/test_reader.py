"""A trial over shared candles is the replay of its configuration by itself, in every field, whatever ran before it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from papertape.engine.core import Engine
from papertape.engine.errors import DataError
from papertape.engine.events import Action, Command, Funding
from papertape.engine.features import reading
from papertape.replay.backtesting.prepare import RunPlan, model_features
from papertape.replay.backtesting.run import replay
from papertape.replay.backtesting.summary import Run, performance_of
from papertape.replay.config import Config
from papertape.replay.research.sweep import reader
from papertape.replay.research.sweep.axes import Axis, with_changes
from papertape.replay.research.sweep.reader import Reader, is_shareable
from papertape.replay.research.sweep.space import make_space
from papertape.replay.research.sweep.trial import TrialRunner
from papertape.replay.research.trials.returns import compact_returns
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.journals import model_bytes

HOUR_MS = 3_600_000
ROWS = 1_500
ONE = [synthesize("regimes", ROWS, "15m", seed=3, symbol="AAA")]
FIRST_MS = int(ONE[0].candles["open_ms"][0])


def part(seed: int, symbol: str, rows: slice, gap: slice = slice(0)) -> Tape:
    """Return a tape that begins and ends within the others', with a gap."""
    whole = synthesize("regimes", ROWS, "15m", seed=seed, symbol=symbol)
    kept = np.zeros(ROWS, bool)
    kept[rows] = True
    kept[gap] = False
    return replace(whole, candles=whole.candles[kept], quality={})


SEVERAL = [*ONE, part(4, "BBB", slice(200, None), slice(500, 540)), part(5, "CCC", slice(0, 1_200))]
SMALL = {"report.sensitivity": False, "signals.use_ml": False, "signals.retrain_every": "never"}
RULE = {"strategy.name": "rsi_reversion", "strategy.parameters": {"entry": 35.0}}
CROSS = {
    "strategy.name": "ema_cross",
    "strategy.parameters": {"fast": 4, "slow": 9},
    "account.sizing": "all_in",
}
CASES: dict[str, tuple[Sequence[Tape], dict[str, Any]]] = {
    "averages": (ONE, CROSS),
    "bracket": (ONE, {"strategy.name": "bracket_w2"}),
    "structure, hours": (
        ONE,
        {
            "strategy.name": "confluence",
            "strategy.parameters": {"confidence_threshold": 0.3},
            "data.timeframe": "1h",
        },
    ),
    "looks at its account": (ONE, {**RULE, "data.timeframe": "1h"}),
    "several, listed and delisted": (SEVERAL, {**CROSS, "account.sizing": "fraction"}),
    "several, Python": (SEVERAL, RULE),
    "several, gaps skipped": (SEVERAL, {**CROSS, "data.gaps": "skip", "data.timeframe": "1h"}),
    "other timeframes and symbols": (
        SEVERAL,
        {**CROSS, "signals.extra_features": ["adx_14@4h", "BBB:rsi_14@1h"], "data.timeframe": "30m"},
    ),
    "limits": (ONE, {**CROSS, "limits.drawdown": 0.03, "limits.losses": 3}),
    "a cut": (ONE, {**CROSS, "data.start": "2020-01-04", "data.end": "2020-01-10"}),
}


LANES = ("averages", "bracket", "structure, hours", "a cut")


def plan_of(changes: dict[str, Any], tapes: Sequence[Tape]) -> tuple[Config, RunPlan]:
    config = with_changes(Config(), SMALL | changes)
    return config, TrialRunner(config, tapes).prepare(config)


def assert_same(config: Config, plan: RunPlan, ours: Run) -> Run:
    """Compare a run over shared candles with the run of the same plan by itself, and return that one."""
    gaps = config.data.gaps
    alone = replay(plan.spec, plan.cuts, gaps, models=plan.models, events=plan.events)
    assert ours.engine.digest == alone.engine.digest
    assert ours.trades.tobytes() == alone.trades.tobytes()
    for name in ("account", "positions", "trades", "orders", "working", "strategy_state"):
        assert getattr(ours.engine, name).tobytes() == getattr(alone.engine, name).tobytes(), name
    for name in ("time_ms", "equity", "exposure", "open_positions"):
        assert np.array_equal(ours.marks[name], alone.marks[name]), name
    assert performance_of(config, ours) == performance_of(config, alone)
    capital = config.account.capital
    assert compact_returns(ours.marks, capital) == compact_returns(alone.marks, capital)
    return alone


@pytest.mark.parametrize("case", CASES)
def test_a_trial_is_its_replay(case: str) -> None:
    tapes, changes = CASES[case]
    config, plan = plan_of(changes, tapes)
    assert is_shareable(plan.spec)
    shared = Reader().shared(config, plan)

    first, is_lane = shared.replay(plan)
    assert is_lane is (case in LANES)
    kept = [first.trades.copy(), *(first.marks[name].copy() for name in ("equity", "exposure"))]
    again = shared.replay(plan).run

    alone = assert_same(config, plan, again)
    assert len(alone.trades) > 1
    # The second run has used the buffers of the first, and not what the first gave away.
    assert_same(config, plan, first)
    assert first.trades.tobytes() == kept[0].tobytes()


def test_what_happens_beside_candles_happens_in_a_trial() -> None:
    config, plan = plan_of(CASES["structure, hours"][1] | {"signals.use_ml": True}, ONE)
    models = [(FIRST_MS + 40 * HOUR_MS, model_bytes(1)), (FIRST_MS + 200 * HOUR_MS, model_bytes(2))]
    market = replace(plan.spec.markets[0], is_perpetual=True, leverage=5.0)
    told = [
        *(
            (FIRST_MS + hour * HOUR_MS, Funding(FIRST_MS + hour * HOUR_MS, 0, 0.001, 100.0))
            for hour in range(8, 370, 8)
        ),
        (FIRST_MS + 100 * HOUR_MS, Command(Action.PAUSE)),
        (FIRST_MS + 120 * HOUR_MS, Command(Action.RESUME)),
        (FIRST_MS + 150 * HOUR_MS, Command(Action.FLATTEN)),
    ]
    spec = replace(plan.spec, markets=[market]).reading(model_features(models))
    told_plan = plan._replace(spec=spec, models=models, events=told)

    alone = assert_same(config, told_plan, Reader().shared(config, told_plan).replay(told_plan).run)

    assert len(alone.recorder.payments) > 3
    assert len(alone.recorder.swaps) == 2
    # Without a model the same candles give other trades: nothing of it stays in what is shared.
    assert_same(config, plan, Reader().shared(config, plan).replay(plan).run)


def test_any_configuration_after_any_other() -> None:
    draw = np.random.default_rng(11)
    runner = TrialRunner(with_changes(Config(), SMALL), SEVERAL)
    reader, traded = Reader(), 0
    for _ in range(14):
        fast = int(draw.integers(2, 12))
        parameters = {
            "fast": fast,
            "slow": fast + int(draw.integers(1, 15)),
            "allow_short": bool(draw.integers(2)),
        }
        config = with_changes(
            runner.config,
            {
                "strategy.name": "ema_cross",
                "strategy.parameters": parameters,
                "account.latency_bars": int(draw.integers(3)),
                "data.timeframe": str(draw.choice(["15m", "30m", "1h"])),
                "market.taker_fee_rate": float(draw.uniform(0, 0.002)),
                "account.sizing": str(draw.choice(["all_in", "fraction", "volatility", "kelly"])),
                "account.fixed_fraction": float(draw.uniform(0.1, 0.9)),
                "account.capital": float(draw.uniform(500, 5e6)),
                "limits.drawdown": float(draw.choice([0.0, 0.05])),
            },
        )
        plan = runner.prepare(config)
        traded += len(assert_same(config, plan, reader.shared(config, plan).replay(plan).run).trades)

    assert traded > 500


ANSWERED: dict[str, tuple[Sequence[Tape], dict[str, Any]]] = {
    "averages": (ONE, CROSS | {"account.sizing": "fraction"}),
    "bracket": (ONE, {"strategy.name": "bracket_w2"}),
    "structure, hours": CASES["structure, hours"],
    "several, listed and delisted, absent": (SEVERAL, {**CROSS, "account.sizing": "fraction"}),
    "several, other parameters for one": (
        SEVERAL,
        {**CROSS, "account.sizing": "fraction", "strategy.symbols": {"BBB": {"slow": 14}}},
    ),
}


@pytest.mark.parametrize("case", ANSWERED)
def test_accounts_have_the_answers_of_those_before_them(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tapes, changes = ANSWERED[case]
    config, plan = plan_of(changes, tapes)
    kind, asked = type(plan.spec.strategy), 0
    decide: Any = kind.decide_batch

    def counted(*arguments: Any) -> None:
        nonlocal asked
        asked += 1
        decide(*arguments)

    monkeypatch.setattr(kind, "decide_batch", counted)
    # As engines that are stepped share them; of lanes see tests/engine/lanes.
    monkeypatch.setattr(reader, "is_lane", lambda spec: False)
    shared, counts = Reader().shared(config, plan), []
    for number in range(5):
        account = {
            "market.taker_fee_rate": 0.0003 * number,
            "account.fixed_fraction": 0.1 + 0.15 * number,
            "account.latency_bars": number % 2,
        }
        one_config, one_plan = plan_of(changes | account, tapes)
        before = asked
        run = shared.replay(one_plan).run
        counts.append(asked - before)
        assert_same(one_config, one_plan, run)

    # The second to ask the same has its answers kept, and nobody is asked after it.
    assert counts[0] == counts[1] > 0
    assert counts[2:] == [0, 0, 0]


def test_engines_that_take_turns_have_their_own_answers() -> None:
    """Two of one question and one of another, block by block; the first one's kept answers are not the other's."""
    one, other = (
        plan_of(CROSS, ONE)[1],
        plan_of({**CROSS, "strategy.parameters": {"fast": 3, "slow": 8}}, ONE)[1],
    )
    read = reading.Reading(("AAA",), "15m", ONE[0].candles)
    specs = [one.spec, one.spec, other.spec, one.spec]

    engines = [Engine(spec, read) for spec in specs]
    for first in range(0, ROWS, 150):
        for engine in engines:
            assert sum(report.candles for report in engine.read_on(150)) == 150
            assert int(engine.account[0].instants) == first + 150

    expected = [replay(spec, [ONE[0].candles]).engine.digest for spec in specs]
    assert [engine.digest for engine in engines] == expected
    assert expected[0] != expected[2]


def test_each_feature_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[str] = []

    class Counted(reading.FeatureMatrix):
        def __init__(self, symbols: Any, base: str, timeframe: str, requests: Sequence[str]) -> None:
            computed.extend(requests)
            super().__init__(symbols, base, timeframe, requests)

    monkeypatch.setattr(reading, "FeatureMatrix", Counted)
    runner = TrialRunner(with_changes(Config(), SMALL | CROSS), ONE)

    rows = [
        runner.run(0, {"strategy.parameters.fast": fast, "strategy.parameters.slow": slow})
        for fast in (3, 5, 7)
        for slow in (11, 21)
    ]

    assert {row.outcome for row in rows} == {"done"}
    assert sorted(computed) == [f"ema_{n}:first" for n in (11, 21, 3, 5, 7)]
    # With room for nothing but what an engine asks for, columns go, and no value is another: of each fast average the
    # first trial computes two columns and the second one, 3 · (2 + 1).
    monkeypatch.setattr(reading, "MOST_BYTES", 0)
    one = TrialRunner(runner.config, ONE)
    assert [one.run(0, row.changes).digest for row in rows] == [row.digest for row in rows]
    assert len(computed) == 5 + 9


def test_what_a_grid_asks_for_is_computed_in_one_pass_and_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passes: list[list[str]] = []

    class Counted(reading.FeatureMatrix):
        def __init__(self, symbols: Any, base: str, timeframe: str, requests: Sequence[str]) -> None:
            passes.append([*requests])
            super().__init__(symbols, base, timeframe, requests)

    monkeypatch.setattr(reading, "FeatureMatrix", Counted)
    axes = [
        Axis("strategy.parameters.fast", (3, 5, 30)),
        Axis("account.risk_fraction", (0.01, 0.02)),
        Axis("strategy.parameters.slow", (11, 21)),
    ]
    runner = TrialRunner(with_changes(Config(), SMALL | CROSS), ONE, space=make_space(axes))

    rows = [
        runner.run(0, {"strategy.parameters.fast": fast, "strategy.parameters.slow": slow})
        for fast in (3, 5)
        for slow in (11, 21)
    ]

    # 30 is refused beside 11, as it is in every trial here.
    assert [one for one in passes if one] == [[f"ema_{n}:first" for n in (3, 11, 5, 21)]]
    alone = TrialRunner(runner.config, ONE)
    assert [alone.run(0, row.changes).digest for row in rows] == [row.digest for row in rows]


class Moody:
    """A user's strategy that fails when it is asked with one of its values."""

    def __init__(self, period: int = 4) -> None:
        self.period = period

    @property
    def features(self) -> tuple[str, ...]:
        if self.period == 5:
            raise ValueError("never five")
        return (f"ema_{self.period}",)

    def decide(self, view: object) -> None:
        """Never trade."""


def test_a_trial_does_not_ask_a_users_strategy_about_the_values_of_others() -> None:
    axis = Axis("strategy.parameters.period", (4, 5))
    config = with_changes(Config(), SMALL | {"strategy.name": f"{__name__}:Moody"})

    row = TrialRunner(config, ONE, space=make_space([axis])).run(0, {axis.key: 4})

    assert row.outcome == "done"


@pytest.mark.parametrize("request_text", ["funding_rate", "BBB:open_interest@4h", "my_own"])
def test_what_candles_do_not_say_is_not_shared(request_text: str) -> None:
    assert not reading.is_readable(("rsi_14", request_text))


def test_a_reading_is_of_sound_candles_and_its_engines_are_no_snapshot() -> None:
    config, plan = plan_of(CROSS, ONE)
    engine = Reader().shared(config, plan).replay(plan).run.engine
    bad = ONE[0].candles.copy()
    bad["high"][7] = 0.0

    with pytest.raises(DataError, match="candle 7 of the batch"):
        reading.Reading(("AAA",), "15m", bad)
    with pytest.raises(DataError, match="an engine over a reading has none"):
        engine.snapshot()
    with pytest.raises(DataError, match="an engine over a reading takes none"):
        engine.frames.load({})
