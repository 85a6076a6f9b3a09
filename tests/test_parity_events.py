"""
Parity with what comes between candles: models that take over and funding, in any batching, restarted, replayed.

And the model's place in a decision: probability by a second implementation, components that add up, versions.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from papertape.engine.candles import MINUTE_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import Funding, NewModel
from papertape.engine.features import evaluate
from papertape.engine.model import ModelRecord, write_artefact
from papertape.engine.records import DECISION, FLAT, KEEP, LONG, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Confluence, Decision
from papertape.engine.strategies.own_signals import question_of
from papertape.engine.strategies.turns import Turn
from papertape.replay import backtest
from papertape.replay.backtesting.prepare import model_features
from papertape.replay.backtesting.run import replay
from papertape.replay.backtesting.verify import verify
from papertape.replay.learning.by_hand import fit_from_tape
from papertape.replay.tapes.synthetic import synthesize
from tests.support.helpers import Outcome, interleave, random_candles, run_all

ROOT = Path(__file__).resolve().parents[1]
BASE_MS = 15 * MINUTE_MS
FEATURES = {"direct": ("rsi_14", "log_return_6"), "two timeframes": ("rsi_14", "log_return_6@4h")}


class ByProbability:
    """Hold what the model says, with a stop; say nothing without an opinion."""

    features = ("atr_14",)

    def decide(self, view: Any) -> Decision | None:
        probability = view["model_probability"]
        if np.isnan(probability):
            return None
        target = LONG if probability > 0.55 else SHORT if probability < 0.45 else FLAT
        return Decision(target, stop_distance=3.0 * view["atr_14"], score_model=2.0 * probability - 1.0)


STRATEGIES = {
    "confluence": lambda: Confluence(confidence_threshold=0.25),
    "python": ByProbability,
    "signals": lambda: Confluence(
        confidence_threshold=0.25, use_smc=False, model_use="filter", model_asks="signal"
    ),
}
ASKED = question_of([Turn(0, STRATEGIES["signals"](), {})], {"S0": True, "S1": True})
LABELS: dict[str, dict[str, Any]] = {"signals": {"kind": "bracket", **ASKED._asdict()}}


def artefact(features: Sequence[str], lean: float, timeframe: str = "1h", **record: Any) -> bytes:
    """Return a model by hand: log-odds of `lean` per deviation of the first feature, half as much of the second."""
    made = ModelRecord("logistic", tuple(features), timeframe, 4, **record)
    tensors = {
        "mean": np.array([[50.0, 0.0]]),
        "scale": np.array([[12.0, 0.02]]),
        "coefficients": np.array([lean, 0.5 * lean]),
        "intercept": np.array([0.05]),
        "temperature": np.array([1.25]),
    }
    return write_artefact(made, tensors)


def make_engine(name: str, features: Sequence[str], symbols: int = 2) -> Engine:
    market = {"is_perpetual": True, "tick_size": 0.01, "lot_size": 0.001}
    return Engine(
        EngineSpec(
            markets=[Market(f"S{i}", **market) for i in range(symbols)],
            strategy=STRATEGIES[name](),
            timeframe="1h",
            base_timeframe="15m",
            settings=Settings("risk", 0.01, leverage_cap=3.0),
            model_features=features,
        )
    )


def candles_for(n: int, symbols: int = 2) -> Any:
    return interleave([random_candles(n, seed=70 + s, timeframe="15m") for s in range(symbols)])


def schedule_for(features: Sequence[str], n: int, name: str = "") -> list[tuple[int, Any]]:
    """Return (instants before, event): a model, funding every eight hours, another model on top."""
    label = LABELS.get(name, {})
    events: list[tuple[int, Any]] = [
        (n // 5, NewModel(3, artefact(features, 0.9, version=3, label=label))),
        (n // 2, NewModel(4, artefact(features, -1.4, version=4, label=label))),
    ]
    random = np.random.default_rng(8)
    for instant in range(16, n, 32):
        rates = random.normal(0.0, 0.002, 2)
        events += [(instant, Funding(instant, s, float(rates[s]), 100.0 + s)) for s in range(2)]
    return sorted(events, key=lambda event: event[0])


def mixed(candles: Any, schedule: Sequence[tuple[int, Any]], batch: int, symbols: int = 2) -> list[Any]:
    """Return candles in batches with every event at its place."""
    events: list[Any] = []
    done = 0
    for instants, event in [*schedule, (len(candles) // symbols, None)]:
        rows = candles[done * symbols : instants * symbols]
        events += [rows[i : i + batch] for i in range(0, len(rows), batch)]
        if event is not None:
            events.append(event)
        done = instants
    return events


def step_all(engine: Engine, events: Sequence[Any]) -> Outcome:
    return Outcome(engine, [engine.step(event) for event in events])


@pytest.mark.parametrize("kind", FEATURES)
@pytest.mark.parametrize("name", STRATEGIES)
def test_batch_size_changes_nothing(name: str, kind: str) -> None:
    n, features = 1_200, FEATURES[kind]
    candles, schedule = candles_for(n), schedule_for(FEATURES[kind], n, name)
    whole = make_engine(name, features)
    outcome = step_all(whole, mixed(candles, schedule, 10_000))
    assert len(outcome.fills) > 10
    assert set(outcome.trades["model_version"].tolist()) >= {3, 4}
    assert np.any(outcome.trades["funding"] != 0)

    for batch in (1, 7, 500):
        engine = make_engine(name, features)
        other = step_all(engine, mixed(candles, schedule, batch))

        assert engine.digest == whole.digest
        assert other.marks.tobytes() == outcome.marks.tobytes()
        assert other.trades.tobytes() == outcome.trades.tobytes()
        assert other.predictions.tobytes() == outcome.predictions.tobytes()
        assert engine.snapshot() == whole.snapshot()


@settings(max_examples=16, deadline=None)
@given(
    name=st.sampled_from(sorted(STRATEGIES)),
    kind=st.sampled_from(sorted(FEATURES)),
    share=st.floats(0.0, 1.0),
    batch=st.sampled_from([1, 13, 400]),
)
def test_restart_between_any_two_events_changes_nothing(
    name: str, kind: str, share: float, batch: int
) -> None:
    n, features = 600, FEATURES[kind]
    events = mixed(candles_for(n), schedule_for(features, n, name), batch)
    cut = int(share * len(events))
    whole = make_engine(name, features)
    step_all(whole, events)

    before = make_engine(name, features)
    step_all(before, events[:cut])
    after = make_engine(name, features)
    if cut % 2:  # an engine that had another model before it is restored
        after.step(NewModel(9, artefact(features, 3.0, label=LABELS.get(name, {}))))
    after.restore(before.snapshot())
    step_all(after, events[cut:])

    assert after.digest == whole.digest
    assert after.snapshot() == whole.snapshot()


def test_missing_changed_or_later_event_changes_the_digest() -> None:
    n, features = 600, FEATURES["direct"]
    candles, schedule = candles_for(n), schedule_for(features, n)
    models = [i for i, (_, event) in enumerate(schedule) if isinstance(event, NewModel)]
    payments = [i for i, (_, event) in enumerate(schedule) if isinstance(event, Funding)]

    def digest(changed: Sequence[tuple[int, Any]]) -> str:
        engine = make_engine("confluence", features)
        step_all(engine, mixed(candles, changed, 500))
        return engine.digest

    def without(i: int) -> list[tuple[int, Any]]:
        return [*schedule[:i], *schedule[i + 1 :]]

    def with_other(i: int, instants: int, event: Any) -> list[tuple[int, Any]]:
        return sorted([*without(i), (instants, event)], key=lambda item: item[0])

    at, model = schedule[models[1]]
    paid_at, paid = schedule[payments[-2]]
    digests = [
        digest(schedule),
        digest(without(models[0])),
        digest(without(models[1])),
        digest(with_other(models[1], at + 4, model)),
        digest(with_other(models[1], at, NewModel(4, artefact(features, -1.3)))),
        digest(with_other(models[1], at, NewModel(5, artefact(features, -1.4, version=5)))),
        digest(with_other(payments[-2], paid_at, paid._replace(rate=0.0123))),
    ]

    assert digest(schedule) == digests[0]
    assert len(set(digests)) == len(digests)


def test_probability_equals_a_second_implementation() -> None:
    told: list[float] = []

    class Listener:
        features = ()

        def decide(self, view: Any) -> None:
            told.append(view["model_probability"])

    candles = random_candles(400, seed=5)
    spec = EngineSpec([Market("X")], Listener(), "1h", "1h", model_features=FEATURES["direct"])
    engine = Engine(spec)
    step_all(engine, [candles[:100], NewModel(1, artefact(FEATURES["direct"], 0.9)), candles[100:]])

    rsi, change = (evaluate(name, candles)[0] for name in FEATURES["direct"])
    z = 0.05 + 0.9 * (rsi - 50.0) / 12.0 + 0.45 * change / 0.02
    seen = np.array(told)
    assert np.isnan(seen[:100]).all()
    assert seen[100:] == pytest.approx(expit(z / 1.25)[100:], rel=1e-12)


def test_missing_feature_is_no_opinion() -> None:
    engine = make_engine("python", FEATURES["direct"], symbols=1)
    engine.step(NewModel(1, artefact(FEATURES["direct"], 5.0)))
    # rsi_14 has its first value at the 15th hour
    outcome = run_all(engine, random_candles(4 * 14 + 3, seed=2, timeframe="15m"))

    assert len(outcome.decisions) == 0
    assert np.isnan(engine.frames.main[0].out[-1]).all()


def test_components_add_up_and_carry_the_version_in_force() -> None:
    n, features = 1_200, FEATURES["direct"]
    schedule = schedule_for(features, n)
    outcome = step_all(make_engine("confluence", features), mixed(candles_for(n), schedule, 500))

    decisions = outcome.decisions
    total = decisions["score_model"] + decisions["score_smc"] + decisions["score_technical"]
    assert np.array_equal(np.abs(total), decisions["confidence"])
    swapped = [BASE_MS * at + outcome.marks["time_ms"][0] - BASE_MS for at in (n // 5, n // 2)]
    expected = np.select([decisions["time_ms"] > swapped[1], decisions["time_ms"] > swapped[0]], [4, 3], 0)
    is_entry = decisions["target"] != KEEP
    assert np.array_equal(decisions["model_version"][is_entry], expected[is_entry])
    assert np.any(decisions["score_model"][expected == 4] != 0.0)
    assert np.all(decisions["score_model"][expected == 0] == 0.0)
    assert np.any(decisions["score_smc"] != 0.0)
    by_decision = dict(zip(decisions["time_ms"].tolist(), decisions["model_version"].tolist(), strict=True))
    for trade in outcome.trades:
        assert trade.model_version == by_decision[int(trade.decided_ms)]


def test_half_and_half_by_hand() -> None:
    """One close, equal weights: half the model's (2p − 1) ÷ 0.2 and half the technical score alone."""
    strategy = {ml: Confluence(use_ml=ml, use_smc=False) for ml in (True, False)}
    names = strategy[True].features
    candles = random_candles(300, seed=3)
    rows = [row for name in names for row in evaluate(name, candles)]
    said = {}
    for ml, chosen in strategy.items():
        said[ml] = np.zeros(300, DECISION)
        matrix = np.vstack([*rows, np.full(300, 0.55)])
        chosen.decide_batch(matrix, candles, 300, np.zeros(1), said[ml])

    both, alone = said[True][-1], said[False][-1]
    opinion = (2.0 * 0.55 - 1.0) / 0.2
    assert both["score_model"] == 0.5 * opinion == pytest.approx(0.25)
    assert both["score_technical"] == 0.5 * alone["score_technical"]
    assert alone["score_model"] == 0.0
    assert both["confidence"] == abs(both["score_model"] + both["score_technical"])
    # ema_50 is the last feature to have a value; from the first ATR until then the model decides alone
    assert said[True][20]["score_model"] == opinion
    assert said[True][20]["score_technical"] == 0.0
    assert np.isnan(said[True][5]["confidence"])  # no ATR, no bracket, no opinion


def decided(probability: float, **parameters: Any) -> Any:
    """Return what the model alone decides at a close with this probability."""
    strategy = Confluence(use_smc=False, weight_technical=0.0, **parameters)
    candles = random_candles(60, seed=3)
    rows = [row for name in strategy.features for row in evaluate(name, candles)]
    said = np.zeros(60, DECISION)
    matrix = np.vstack([*rows, np.full(60, probability)])
    strategy.decide_batch(matrix, candles, 60, np.zeros(1), said)
    return said[-1]


@pytest.mark.parametrize(
    ("probability", "edge", "score"),
    [(0.6, 0.2, 1.0), (0.9, 0.2, 1.0), (0.45, 0.2, -0.5), (0.25, 0.2, -1.0), (0.75, 1.0, 0.5)],
)
def test_model_counts_whole_from_its_full_edge_on(probability: float, edge: float, score: float) -> None:
    said = decided(probability, ml_full_edge=edge)

    assert said["score_model"] == pytest.approx(score)
    assert said["size_scale"] == 1.0


def test_size_by_confidence_goes_from_a_half_at_the_threshold_to_all_of_it() -> None:
    options = {"size_by_confidence": True, "confidence_threshold": 0.5, "ml_full_edge": 0.5}

    for probability, size in ((0.63, 0.52), (0.6875, 0.75), (0.75, 1.0), (0.05, 1.0)):
        said = decided(probability, **options)
        assert said["target"] == (LONG if probability > 0.5 else SHORT)
        # 0.5 + 0.5 × (|2p − 1| ÷ 0.5 − 0.5) ÷ 0.5
        assert said["size_scale"] == pytest.approx(size)
    assert decided(0.55, **options)["size_scale"] == 1.0  # nothing is entered
    with pytest.raises(
        ConfigError, match=r"strategy\.parameters\.ml_full_edge: 0.0 is not between 0.001 and 1"
    ):
        Confluence(ml_full_edge=0.0)


def entries(probability: float, **parameters: Any) -> dict[str, Any]:
    """Return what is decided at closes at which the technical score alone enters, with this probability at all of them."""
    candles, n = random_candles(300, seed=3), 300
    said = {}
    for name, options in (("alone", {"use_ml": False}), ("asked", parameters)):
        strategy = Confluence(use_smc=False, confidence_threshold=0.3, **options)
        rows = [row for feature in strategy.features for row in evaluate(feature, candles)]
        said[name] = np.zeros(n, DECISION)
        matrix = np.vstack([*rows, np.full(n, probability)])
        strategy.decide_batch(matrix, candles, n, np.zeros(1), said[name])
    assert {LONG, SHORT} <= set(said["alone"]["target"].tolist())
    return said


@pytest.mark.parametrize("probability", [0.53, 0.5, 0.47])
@pytest.mark.parametrize("floor", [0.0, 0.2, -0.4])
def test_a_filter_lets_entries_through_on_the_sides_where_its_score_reaches_the_floor(
    probability: float, floor: float
) -> None:
    said = entries(probability, model_use="filter", ml_floor=floor)

    score = (2.0 * probability - 1.0) / 0.2
    expected = said["alone"].copy()
    side = expected["target"]
    is_refused = np.isin(side, (LONG, SHORT)) & (side * score < floor)
    expected["target"][is_refused] = KEEP
    assert said["asked"].tobytes() == expected.tobytes()
    assert (said["asked"]["score_model"] == 0.0).all()


def test_a_sizer_gives_entries_the_share_that_its_score_is() -> None:
    said = entries(0.53, model_use="sizer")

    alone, asked = said["alone"], said["asked"]
    is_long, is_short = (alone["target"] == side for side in (LONG, SHORT))
    assert (asked["target"][is_long] == LONG).all()
    assert asked["size_scale"][is_long] == pytest.approx((2.0 * 0.53 - 1.0) / 0.2)
    assert (asked["target"][is_short] == KEEP).all()
    assert asked[~is_long & ~is_short].tobytes() == alone[~is_long & ~is_short].tobytes()
    both = entries(0.53, model_use="sizer", size_by_confidence=True)["asked"]
    share = 0.5 + 0.5 * (both["confidence"][is_long] - 0.3) / 0.7
    assert both["size_scale"][is_long] == pytest.approx(0.3 * share)


@pytest.mark.parametrize("probability", [0.3, 0.41, 0.5])
def test_a_model_that_is_asked_about_the_signal_speaks_for_either_side(probability: float) -> None:
    asked = {"model_asks": "signal", "stop_atr": 2.0, "target_atr": 3.0}
    filtered = entries(probability, model_use="filter", **asked)
    sized = entries(probability, model_use="sizer", **asked)["asked"]

    # 2 lost or 3 won even out at a chance of 2 ÷ (2 + 3)
    score = min(max(2.0 * (probability - 0.4) / 0.2, -1.0), 1.0)
    alone = filtered["alone"]
    is_entry = np.isin(alone["target"], (LONG, SHORT))
    expected = alone.copy()
    if score < 0.0:
        expected["target"][is_entry] = KEEP
    assert filtered["asked"].tobytes() == expected.tobytes()
    assert sized["size_scale"][is_entry] == pytest.approx(score if score > 0.0 else 1.0)
    assert (sized["target"][is_entry] == (alone["target"][is_entry] if score > 0.0 else KEEP)).all()


def test_a_model_is_not_asked_about_a_signal_that_it_is_part_of() -> None:
    with pytest.raises(ConfigError, match=r"as a component the model is part of the signal.*filter"):
        Confluence(model_asks="signal")
    with pytest.raises(ConfigError, match=r"no component has a weight, so there is no signal"):
        Confluence(model_asks="signal", model_use="filter", weight_technical=0.0, use_smc=False)
    Confluence(model_asks="signal", use_ml=False)  # nobody is asked anything


@pytest.mark.parametrize("use", ["filter", "sizer"])
def test_without_an_opinion_a_filter_and_a_sizer_are_switched_off(use: str) -> None:
    said = entries(float("nan"), model_use=use, ml_floor=0.5)

    assert said["asked"].tobytes() == said["alone"].tobytes()
    with pytest.raises(ConfigError, match=r"strategy\.parameters\.model_use: .*filter"):
        Confluence(model_use="filters")


def test_without_a_model_the_technical_score_decides_alone_bit_for_bit() -> None:
    candles = candles_for(1_500)
    outcomes = {}
    for use_ml in (True, False):
        strategy = Confluence(confidence_threshold=0.3, use_ml=use_ml, use_smc=False)
        markets = [Market(f"S{i}", is_perpetual=True) for i in range(2)]
        features = FEATURES["direct"] if use_ml else ()
        spec = EngineSpec(markets, strategy, "1h", "15m", model_features=features)
        outcomes[use_ml] = run_all(Engine(spec), candles)

    assert len(outcomes[True].fills) > 10
    assert outcomes[True].engine.digest == outcomes[False].engine.digest
    decisions = outcomes[True].decisions
    assert np.array_equal(np.abs(decisions["score_technical"]), decisions["confidence"])


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (NewModel(0, artefact(FEATURES["direct"], 1.0)), "version 0 is not above 0"),
        (NewModel(1, b"nonsense"), "artefact: "),
        (NewModel(1, artefact(("rsi_14", "roc_9"), 1.0)), "feature 'roc_9' is not computed here"),
        (NewModel(1, artefact(FEATURES["direct"], 1.0, "4h")), "trained on 4h candles, not on"),
        (NewModel(1, artefact(FEATURES["direct"], 1.0, version=2)), "its record says version 2"),
    ],
)
def test_model_that_cannot_be_used_is_refused_and_the_other_stays(event: NewModel, told: str) -> None:
    engine = make_engine("confluence", FEATURES["direct"])
    step_all(engine, [candles_for(200), NewModel(7, artefact(FEATURES["direct"], 1.0))])
    before = engine.snapshot()

    with pytest.raises(DataError, match=told):
        engine.step(event)

    assert engine.snapshot() == before
    assert engine.account[0].model_version == 7


def test_replay_of_a_schedule_equals_events_fed_one_by_one() -> None:
    n, features = 800, FEATURES["two timeframes"]
    candles, schedule = candles_for(n), schedule_for(features, n)
    fed = make_engine("confluence", features)
    outcome = step_all(fed, mixed(candles, schedule, 1))
    start_ms = int(candles["open_ms"][0])
    tapes = [np.ascontiguousarray(candles[s::2]) for s in range(2)]
    timed = [(start_ms + BASE_MS * at, event) for at, event in schedule]
    models = [(time, event.artefact) for time, event in timed if isinstance(event, NewModel)]
    others = [(time, event) for time, event in timed if isinstance(event, Funding)]

    paid = outcome.trades["funding"].sum() + fed.open_trades()["funding"].sum()
    digests = set()
    for batch_rows in (1, 333, 4096):
        run = replay(fed.spec, tapes, batch_rows=batch_rows, models=models, events=others)
        digests.add(run.engine.digest)
        assert run.recorder.payments["amount"].sum() == paid
        assert run.recorder.swaps["version"].tolist() == [3, 4]
        assert run.recorder.swaps["time_ms"].tolist() == [time for time, _ in models]

    assert digests == {fed.digest}


PROGRAM = """
import sys
sys.path.insert(0, "tests")
from test_parity_events import FEATURES, candles_for, make_engine, mixed, schedule_for, step_all
n = int(sys.argv[1])
for name in ("confluence", "python"):
    engine = make_engine(name, FEATURES["two timeframes"])
    step_all(engine, mixed(candles_for(n), schedule_for(FEATURES["two timeframes"], n), 50))
    print(name, engine.digest)
"""


@pytest.mark.parametrize("n", [150, pytest.param(400, marks=pytest.mark.slow)])
def test_the_compiler_changes_nothing(n: int) -> None:
    said = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", PROGRAM, str(n)],
            env={**os.environ, "NUMBA_DISABLE_JIT": off, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        ).stdout
        for off in ("0", "1")
    ]

    assert said[0] == said[1]
    assert said[0].count("\n") == 2


TAPE = synthesize("edge", 3_000, "1h", seed=6, edge=0.3)


def test_backtest_with_a_model_tells_its_lineage_and_verifies(tmp_path: Path) -> None:
    half = int(TAPE.candles["open_ms"][2_000])
    data = fit_from_tape(TAPE.between(None, half - 1), None, 1, ("log_return_1", "rsi_14"))
    half = half + 5

    result = backtest(
        tapes=[TAPE],
        timeframe="1h",
        use_smc=False,
        models=[(half, data)],
        parameters={"confidence_threshold": 0.1, "weight_technical": 0.2},
        report={"sensitivity": False},
    )

    (entry,) = result.summary["model"]["lineage"]
    assert (entry["version"], entry["effective_ms"], entry["kind"]) == (1, half, "logistic")
    assert entry["tapes"] == [TAPE.between(None, half - 6).sha256]
    is_before = result.trades["decided_time"].dt.as_unit("ms").astype("int64") <= half
    assert 20 < is_before.sum() < len(is_before) - 20
    assert set(result.trades["model_version"][is_before]) == {0}
    assert set(result.trades["model_version"][~is_before]) == {1}
    folder = result.save(tmp_path / "result")
    assert (folder / "models/0001.safetensors").read_bytes() == data
    assert verify(folder, [TAPE]).is_equal
    (folder / "models/0001.safetensors").unlink()
    with pytest.raises(DataError, match=r"0001\.safetensors: cannot be read"):
        verify(folder, [TAPE])


def test_model_that_has_seen_the_future_is_refused() -> None:
    data = fit_from_tape(TAPE, None, 1, ("log_return_1",))
    end_ms = int(TAPE.candles["open_ms"][-1]) + 60 * MINUTE_MS

    assert model_features([(end_ms, data)]) == ("log_return_1",)
    with pytest.raises(DataError, match=r"it has seen candles up to .* train it on earlier ones"):
        backtest(tapes=[TAPE], models=[(end_ms - 1, data)])
    with pytest.raises(ConfigError, match=r"signals\.use_ml: it is off, but there are models"):
        backtest(tapes=[TAPE], models=[(end_ms, data)], use_ml=False)
