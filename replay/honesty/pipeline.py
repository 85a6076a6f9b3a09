"""The pipeline of the experiments: the same public parts that a replay and the daemon train with, on synthetic tapes."""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, Rows, copy_rows
from papertape.engine.model import MODEL_FEATURES, read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.gate import GateOptions, gate
from papertape.engine.model.gate.verdict import Verdict
from papertape.engine.records import FLAT, LONG, SHORT, UNITS_PER_QUOTE
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.engine.strategies.view import View
from papertape.replay.backtesting.run import replay
from papertape.replay.honesty.experiment import HonestyOptions, Show
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.dataset import dataset_of
from papertape.replay.learning.evidence import evidence, opinions, outcomes
from papertape.replay.learning.jobs.job import TrainingJob
from papertape.replay.learning.jobs.trainer import train_model
from papertape.replay.learning.settings import DAY_MS, LearningSettings
from papertape.replay.learning.walk_forward import walk
from papertape.replay.tapes.synthetic import synthesize

SYMBOL: Final = "SYNTH"
WINDOW_DAYS: Final = 90
GATE_DAYS: Final = 30
STEP_DAYS: Final = 30  # between attempts
_DAY_ROWS: Final = 24
_SURE: Final = 0.01  # of an edge that is reported
_CAPITAL: Final = 10_000.0


class KnownMarket(NamedTuple):
    """A synthetic tape: its candles, and the rows that a model may learn from."""

    candles: Rows
    rows: Dataset


def market(
    kind: str, n_attempts: int, seed: int, edge: float = 0.25, window_days: int = WINDOW_DAYS
) -> KnownMarket:
    """Return hours long enough for so many attempts, and for what follows the last of them."""
    days = window_days + GATE_DAYS + STEP_DAYS * n_attempts + 2
    tape = synthesize(kind, days * _DAY_ROWS, "1h", seed, symbol=SYMBOL, edge=edge)
    candles = copy_rows(tape.candles)
    return KnownMarket(candles, rows_of(candles))


def rows_of(candles: Rows) -> Dataset:
    """Return what an engine on these hours would give a model."""
    return dataset_of((SYMBOL,), [candles], "1h", "1h", MODEL_FEATURES)


def settings(
    kind: str,
    options: HonestyOptions,
    *,
    label: str = "bracket",
    horizon_bars: int = 24,
    window_days: int = WINDOW_DAYS,
) -> LearningSettings:
    """Return how a model of a kind is trained and judged, alone; everything else is the pipeline's default."""
    trained = {} if kind == "logistic" else {"epochs": options.epochs, "device": "cpu"}
    return LearningSettings(
        kind=kind,
        timeframe="1h",
        features=MODEL_FEATURES,
        symbols=(SYMBOL,),
        window_ms=window_days * DAY_MS,
        gate_ms=GATE_DAYS * DAY_MS,
        policy="model",
        label=label,
        horizon_bars=horizon_bars,
        options=trained,
        seed=options.seed,
    )


def attempts(
    rows: Dataset, how: LearningSettings, n_attempts: int, show: Show | None = None, name: str = ""
) -> list[Attempt]:
    """Return what comes of every retraining, each on what was known by then."""
    first_ms = int(rows.time_ms[0]) + how.window_ms + how.gate_ms
    due = tuple(first_ms + number * STEP_DAYS * DAY_MS for number in range(n_attempts))

    def told(what: Attempt | int, number: int, of: int) -> None:
        if show is not None:
            show(name, number + (not isinstance(what, int)), of)

    return walk(TrainingJob(how, due, rows, is_walk=True), train_model, on_attempt=told).attempts


def out_of_sample(rows: Dataset, made: Sequence[Attempt], how: LearningSettings) -> Verdict:
    """
    Return what every challenger was worth on the rows behind it, all together, promoted or not.

    The same tests as in the gate, at one per cent: an edge is reported when the log-loss is surely below the majority's and
    the net return surely above 0. The first alone would praise a model for saying nothing when the share of rises in training was
    off by chance.
    """
    followed = outcomes(rows, how)
    said: FloatArray = np.full(followed.y.shape, np.nan)
    for number, attempt in enumerate(made):
        if not attempt.artefact:
            continue
        last = number + 1 == len(made)
        seen = rows if last else rows.until(made[number + 1].due_ms)
        start = int(np.searchsorted(seen.time_ms, attempt.due_ms, "right"))
        end = len(seen.time_ms)
        model = read_artefact(attempt.artefact)
        said[:, start:end] = opinions(model, seen, attempt.due_ms)[:, start:]
    majority = float(np.mean([a.gate["majority"] for a in made if a.gate] or [0.5]))
    options = GateOptions(alpha=_SURE, seed=how.seed, rivals=("majority",))
    return gate(evidence(followed, {"challenger": said}, majority, how), options)


class Follower:
    """Trades what the gate's plain rule does: one candle long or short where the model is far enough from the middle."""

    features = ("atr_14",)

    def __init__(self, edge: float) -> None:
        self._edge = edge

    def decide(self, view: View) -> Decision | None:
        """Return the model's side, or flat where it has none."""
        p = view["model_probability"]
        if p >= 0.5 + self._edge:
            return Decision(LONG)
        if p <= 0.5 - self._edge:
            return Decision(SHORT)
        return Decision(FLAT)


class Traded(NamedTuple):
    """Return of the whole replay after every cost, as a fraction, and how many trades made it."""

    net_return: float
    n_trades: int


def traded(candles: Rows, made: Sequence[Attempt], edge: float) -> Traded:
    """Return what the promoted models earned in a replay through the broker, with its fees, spread and slippage."""
    schedule = [(a.effective_ms, a.artefact) for a in made if a.is_promoted]
    if not schedule:
        return Traded(0.0, 0)
    spec = EngineSpec(
        markets=[Market(SYMBOL, is_perpetual=True)],
        strategy=Follower(edge),
        timeframe="1h",
        base_timeframe="1h",
        capital=_CAPITAL,
        settings=Settings(sizing="fraction", fixed_fraction=0.5),
        model_features=MODEL_FEATURES,
    )
    run = replay(spec, [candles], models=schedule)
    equity = float(run.marks["equity"][-1]) / UNITS_PER_QUOTE
    return Traded(equity / _CAPITAL - 1.0, len(run.trades))
