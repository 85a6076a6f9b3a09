"""
What lets a model take over: its own gate, what its recipe has shown, being the newest, or nothing. One place for replay and daemon.

    model    the gate's verdict on the rows kept for it
    recipe   the evidence of every model that the recipe has trained, each on the rows until the next one (`engine/model/gate/recipe.py`)
    newest   every model that was trained takes over
    shadow   none does

What a recipe has shown is weighed whatever the policy says, so that a reader sees what it would have done. It travels with the
attempt: its state, the way there, and what the judged model was worth on those rows.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final, NamedTuple

import numpy as np

from papertape.engine.jit import FloatArray
from papertape.engine.model.artefact import read_artefact
from papertape.engine.model.dataset import Dataset
from papertape.engine.model.gate.bets import Unseen
from papertape.engine.model.gate.recipe import RecipeOptions, RecipeState, judge
from papertape.engine.model.gate.verdict import Verdict
from papertape.engine.model.training.labels import SIGNAL, reads_cost
from papertape.replay.learning.attempt import Attempt
from papertape.replay.learning.evidence import opinions, outcomes
from papertape.replay.learning.settings import LearningSettings

# What may change without making another recipe of it.
_OTHER: Final = (
    "tapes",
    "policy",
    "cost",
    "activation_delay_ms",
    "time_limit_s",
    "memory_limit_mb",
    "drift",
    "check_bars",
)


class Shown(NamedTuple):
    """The newest model that a recipe has trained: when it was due, what it is, and what `weigh` said then."""

    due_ms: int
    artefact: bytes
    recipe: Mapping[str, Any]

    @classmethod
    def of(cls, attempt: Attempt) -> "Shown":
        """Return what an attempt that brought a model leaves to the next one."""
        return cls(attempt.due_ms, attempt.artefact, attempt.gate.get("recipe", {}))


class Decided(NamedTuple):
    """The outcome of an attempt, and why in one sentence."""

    outcome: str
    reason: str


def weigh(known: Dataset, settings: LearningSettings, last: Shown | None) -> dict[str, Any]:
    """
    Return what the recipe has shown once its last model is judged on the rows since, as plain values.

    known  everything up to the due time

    Evidence of another recipe, or of a level that is no longer asked for, counts for nothing.
    """
    digest = recipe_digest(settings)
    state, points = RecipeState(), []
    rules = RecipeOptions(settings.gate_alpha)
    if last is not None and last.recipe.get("digest") == digest:
        state = RecipeState.from_json(last.recipe["state"])
    before = state
    if last is not None and last.recipe.get("digest") == digest:
        rows = known.between(last.due_ms - settings.gate_ms - settings.window_ms, known.time_ms[-1])
        state, found = judge(state, unseen_rows(rows, settings, last), rules)
        points = [[int(rows.time_ms[p.bar]), p.capital, p.is_passed] for p in found]
    return {
        "digest": digest,
        "policy": settings.policy,
        "state": state.to_json(),
        "capital": state.capital,
        "boundary": rules.boundary,
        "has_faded": state.fades > before.fades and not state.is_passed,
        "points": points,
    }


def unseen_rows(rows: Dataset, settings: LearningSettings, last: Shown) -> Unseen:
    """Return the rows since a model was due, in the order of close and symbol, and before them what tells its middle."""
    artefact = read_artefact(last.artefact)
    n_symbols, n = rows.open.shape
    return Unseen(
        np.repeat(np.arange(n), n_symbols),
        np.tile(np.arange(n_symbols), n),
        _by_close(outcomes(rows, settings).y),
        _by_close(opinions(artefact, rows, artefact.record.end_ms)),
        int(np.searchsorted(rows.time_ms, last.due_ms, "right")),
        n - 1,
        settings.horizon_bars,
    )


def recipe_digest(settings: LearningSettings) -> str:
    """Return a name for how models are made, which changes with everything that makes another model of the same rows."""
    values = {name: value for name, value in asdict(settings).items() if name not in _OTHER}
    if settings.label != "variance":
        del values["variance_share"]  # of all recipes before there was a choice
    if settings.asks != SIGNAL:
        del values["asks"], values["signals_of"]  # likewise
    if not settings.no_trade:
        del values["no_trade"]  # likewise
    if reads_cost(settings):
        values["cost"] = settings.cost  # a part of the question
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def decide(
    settings: LearningSettings, verdict: Verdict, recipe: Mapping[str, Any], worse: str, has_champion: bool
) -> Decided:
    """Return what becomes of a trained model; worse: why it is surely worse than the champion, or nothing."""
    policy = settings.policy
    if policy == "newest":
        return Decided("promoted", f"newest: it takes over whatever it is worth; the gate {verdict.reason}")
    if policy == "shadow":
        return Decided("rejected", f"shadow: no model trades; the gate {verdict.reason}")
    if policy == "model":
        return Decided("promoted" if verdict.is_promoted else "rejected", verdict.reason)
    state, capital = recipe["state"], recipe["capital"]
    told = f"{capital:.3g} of {recipe['boundary']:.3g} on {state['rows']:,} rows that its models had not seen"
    if recipe["has_faded"] and has_champion:
        return Decided("demoted", "demoted: what the recipe had shown has faded; it begins anew")
    if not state["is_passed"]:
        return Decided("rejected", f"refused: the recipe's evidence is {told}")
    if worse:
        return Decided("rejected", f"refused: the recipe has passed, but this model's {worse}")
    return Decided("promoted", f"promoted: the recipe has passed; its evidence is {told}")


def _by_close(values: FloatArray) -> FloatArray:
    return np.ascontiguousarray(values.T).reshape(-1)
