"""
The models of a run for its result: every retrain, what challengers were worth afterwards, what the models in force said.

    lineage        every model that took over           attempts    every retrain, promoted or not
    out_of_sample  challengers on the rows after them   in_force    stated against what came, of the models that traded
    versions       profit and scores by model version
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray, IntArray, Rows
from papertape.engine.model.buckets import confidence_buckets
from papertape.engine.model.scores import scores
from papertape.engine.model.training.labels import LabelPrices, LabelRule, labels_for
from papertape.engine.model.training.options import TrainingOptions
from papertape.engine.performance.tables import breakdown
from papertape.replay.learning.attempt import Attempt, Learned

_NOTHING_LEARNED: Final[dict[str, Any]] = {"attempts": [], "commands": [], "out_of_sample": {}}


class Resolved(NamedTuple):
    """Predictions whose outcome is known, in the order of time: outcome 0 or 1, probability of a rise, version."""

    time_ms: IntArray
    y: FloatArray
    p: FloatArray
    version: IntArray


def model_section(
    lineage: Sequence[Mapping[str, Any]],
    learned: Learned | None,
    predictions: Rows,
    bars: Mapping[str, Rows],
    trades: Rows,
    units_per_quote: float,
) -> dict[str, Any]:
    """
    Return the `model` part of a summary.

    lineage      record of every model that took over, with its version, in order
    learned      what came of retraining; None when the run did not retrain
    predictions  PREDICTION records; bars: by symbol in the engine's order, on the strategy's timeframe
    """
    section: dict[str, Any] = {"note": note(lineage, learned), "lineage": list(lineage)}
    section |= learned.to_json() if learned is not None else _NOTHING_LEARNED
    if lineage:
        found = resolve(_rule(lineage[-1]), predictions, bars)
        rates = {int(record["version"]): base_rate(record) for record in lineage}
        if len(found.y):
            section["in_force"] = _in_force(found, rates)
        section["versions"] = _versions(found, trades, units_per_quote)
    return section


def note(lineage: Sequence[Mapping[str, Any]], learned: Learned | None) -> str:
    """Return what a reader must know of the models in one sentence."""
    if learned is None:
        return (
            f"{len(lineage)} models took over during the run"
            if lineage
            else "no model: the ML component is absent"
        )
    outcomes = [attempt.outcome for attempt in learned.attempts]
    counts = ", ".join(f"{outcomes.count(name)} {name}" for name in dict.fromkeys(outcomes))
    if not outcomes:
        return "no retraining was due: the ML component is absent"
    told = f"{len(outcomes)} retrains: {counts}"
    return told if lineage else f"{told}; no model earned its place, so the ML component is absent"


def _rule(record: Mapping[str, Any]) -> LabelRule:
    """Return what a model was taught; one of the first format knows a direction and its horizon only."""
    label = record["label"] or {"kind": "direction", "horizon_bars": record["horizon_bars"]}
    return TrainingOptions(**{"label" if n == "kind" else n: value for n, value in label.items()})


def base_rate(record: Mapping[str, Any]) -> float:
    """Return the share of rises in the rows that a model was trained on; one half when its record does not say."""
    return float(record.get("metrics", {}).get("base_rate", 0.5))


def resolve(rule: LabelRule, predictions: Rows, bars: Mapping[str, Rows]) -> Resolved:
    """
    Return the predictions whose outcome, as the models were taught it, lies within the run.

    None of models that answer whether signals pay: a prediction does not say the signal.
    """
    parts = [
        _resolve_one(rule, predictions[predictions["symbol"] == index], rows)
        for index, rows in enumerate(bars.values())
    ]
    order = np.argsort(np.concatenate([part.time_ms for part in parts]), kind="stable")
    return Resolved(
        np.concatenate([part.time_ms for part in parts])[order],
        np.concatenate([part.y for part in parts])[order],
        np.concatenate([part.p for part in parts])[order],
        np.concatenate([part.version for part in parts])[order],
    )


def _resolve_one(rule: LabelRule, predictions: Rows, bars: Rows) -> Resolved:
    """Return the resolved predictions of one symbol."""
    at = np.searchsorted(bars["open_ms"], predictions["time_ms"]) - 1  # the candle that ends there
    atr = np.full(len(bars), np.nan)
    atr[at] = predictions["atr"]
    prices = {name: np.asarray(bars[name]) for name in ("open", "high", "low", "close")}
    found = labels_for(rule, LabelPrices(**prices, atr=atr))
    y, p = found.y[at], predictions["probability"]
    known = ~np.isnan(y) & ~np.isnan(p)
    return Resolved(predictions["time_ms"][known], y[known], p[known], predictions["version"][known])


def _in_force(found: Resolved, rates: Mapping[int, float]) -> dict[str, Any]:
    """Return how good the models in force were, beside always stating the share of rises that each was trained on."""
    constant = np.array([rates[int(version)] for version in found.version])
    return {
        "rows": len(found.y),
        "contenders": {
            "model": scores(found.y, found.p)._asdict(),
            "majority": scores(found.y, constant)._asdict(),
        },
        "buckets": confidence_buckets(found.y, found.p),
    }


def _versions(found: Resolved, trades: Rows, units_per_quote: float) -> list[dict[str, Any]]:
    """Return trades and scores by the version that was in force; 0 is the time without a model."""
    rows: list[dict[str, Any]] = []
    labels = [str(version) for version in trades["model_version"]]
    versions = [str(version) for version in dict.fromkeys(found.version.tolist())]
    for row in breakdown(trades, labels, versions, units_per_quote):
        chosen = found.version == int(str(row["name"]))
        scored = scores(found.y[chosen], found.p[chosen]) if chosen.any() else None
        rows.append(
            {
                **row,
                "rows": int(chosen.sum()),
                "accuracy": scored.accuracy if scored else None,
                "log_loss": scored.log_loss if scored else None,
            }
        )
    return rows


def policy_of(attempts: Sequence[Attempt]) -> str:
    """Return by which policy the newest of some models was let in or not; the gate's where nothing says so."""
    said = [attempt.gate["recipe"]["policy"] for attempt in attempts if "recipe" in attempt.gate]
    return str(said[-1]) if said else "model"


def newest_sentences(learned: Learned | None) -> list[str]:
    """Return what a reader must know where models take over unseen."""
    if learned is None or policy_of(learned.attempts) != "newest":
        return []
    return ["NEWEST: every model took over, whatever it was worth (learning.policy)."]


def why_none(learned: Learned | None) -> str:
    """Return why no model took over, as the beginning of a sentence."""
    if learned is None:
        return ""
    trained = sum(bool(attempt.record) for attempt in learned.attempts)
    if trained:
        policy = policy_of(learned.attempts)
        because = {
            "model": "none passed the gate",
            "recipe": "none took over, as their recipe has not passed",
        }
        return f"of {trained} that were trained {because.get(policy, f'none trades, by policy {policy}')}; "
    failed = sum(attempt.outcome != "skipped" for attempt in learned.attempts)
    if failed:  # why is told of the first of them
        return f"none of {failed} retrainings brought a model; "
    if learned.attempts:
        return f"there were too few candles to learn from ({learned.attempts[-1].reason}); "
    return "no retraining was due; "
