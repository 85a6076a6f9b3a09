"""What came of one retraining, promoted or not: as a value, and as plain JSON in a result or a journal."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, NamedTuple, Self

from papertape.replay.learning.settings import LearningSettings

OUTCOMES: Final = (
    "promoted",  # it passed the gate and takes over at `effective_ms`
    "rejected",  # it was trained and did not pass
    "demoted",  # the same, and the model in force leaves: what its recipe had shown has faded
    "skipped",  # there were too few rows to learn from and to judge by
    "failed",  # training was refused, ran out of memory, crashed or answered with garbage
    "timeout",  # it took longer than it may
)
TRIGGERS: Final = ("schedule", "drift", "manual", "catch_up")


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    One retraining.

    due_ms        when it was due: nothing that closed later took part
    effective_ms  when its model takes over, or would have
    trigger       one of TRIGGERS; outcome: one of OUTCOMES; reason: one sentence
    kind          of model; champion: version of the one in force; 0 = none
    gate          what the gate said, with its numbers; record: of the challenger; empty when it did not come to that
    shadow        of a replay: scores by contender on the rows between this attempt and the next, which none of them saw
    wall_s        that it took
    artefact      the challenger, also of one that was rejected; baseline: the logistic model of the same rows
    """

    due_ms: int
    effective_ms: int
    trigger: str
    outcome: str
    reason: str
    kind: str = ""
    champion: int = 0
    gate: dict[str, Any] = field(default_factory=dict)
    record: dict[str, Any] = field(default_factory=dict)
    shadow: dict[str, Any] = field(default_factory=dict)
    wall_s: float = 0.0
    artefact: bytes = field(default=b"", repr=False)
    baseline: bytes = field(default=b"", repr=False)

    @classmethod
    def lost(
        cls,
        settings: LearningSettings,
        due_ms: int,
        trigger: str,
        champion: int = 0,
        outcome: str = "failed",
        reason: str = "",
    ) -> Self:
        """Return one that brings no model, or none yet."""
        effective_ms = due_ms + settings.activation_delay_ms
        return cls(due_ms, effective_ms, trigger, outcome, reason, settings.kind, champion)

    @property
    def is_promoted(self) -> bool:
        """Return whether its model takes over."""
        return self.outcome == "promoted"

    @property
    def is_demoting(self) -> bool:
        """Return whether no model is in force afterwards."""
        return self.outcome == "demoted"

    def to_json(self) -> dict[str, Any]:
        """Return everything but the artefacts, as plain values."""
        values = asdict(self)
        del values["artefact"], values["baseline"]
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any], artefact: bytes = b"", baseline: bytes = b"") -> Self:
        """Return what `to_json` gave; raises TypeError or KeyError for anything else."""
        found = cls(**values, artefact=artefact, baseline=baseline)
        if found.outcome not in OUTCOMES or found.trigger not in TRIGGERS:
            raise KeyError(f"{found.outcome} {found.trigger}")
        return found


class Learned(NamedTuple):
    """
    What came of every retraining of a replay.

    attempts  in the order of time
    commands  (time in ms, action, value, reason) that the policy on drift asks for
    summary   scores of every contender over all rows that were not seen, and what drift said
    wall_s    that it all took
    """

    attempts: list[Attempt]
    commands: list[tuple[int, str, float, str]]
    summary: dict[str, Any]
    wall_s: float

    @property
    def schedule(self) -> list[tuple[int, bytes]]:
        """Return the models that take over, each with its time; no bytes where one leaves and none follows."""
        return [
            (a.effective_ms, a.artefact if a.is_promoted else b"")
            for a in self.attempts
            if a.is_promoted or a.is_demoting
        ]

    def to_json(self) -> dict[str, Any]:
        """Return everything but the artefacts, as plain values."""
        return {
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "commands": [list(command) for command in self.commands],
            "out_of_sample": self.summary,
            "wall_s": self.wall_s,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Learned | None":
        """Return what `to_json` gave among other values, without artefacts; None when it is not there."""
        if "wall_s" not in values:
            return None
        commands = [(int(c[0]), str(c[1]), float(c[2]), str(c[3])) for c in values["commands"]]
        attempts = [Attempt.from_json(attempt) for attempt in values["attempts"]]
        return cls(attempts, commands, values["out_of_sample"], float(values["wall_s"]))
