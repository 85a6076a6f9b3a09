"""(a) Markets without anything to find: the gate refuses, and no out-of-sample score reports an edge."""

from collections.abc import Iterator
from typing import Final

from papertape.replay.honesty import pipeline
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, RowTimer, Show
from papertape.replay.research.gate_study import chance_of_more

KINDS: Final = ("noise", "garch", "jumps")
_TOLD: Final = {"noise": "random walk", "garch": "volatility that follows itself", "jumps": "jumps"}
_SURE: Final = 0.01


def noise(options: HonestyOptions, show: Show | None = None) -> Iterator[HonestyRow]:
    """Yield a row per kind of noise and kind of model."""
    clock = RowTimer()
    for number, kind in enumerate(KINDS):
        known = pipeline.market(kind, options.attempts, options.seed + 101 * number)
        for model in ("logistic", *options.networks):
            how = pipeline.settings(model, options)
            name = f"{_TOLD[kind]}, {model}"
            made = pipeline.attempts(known.rows, how, options.attempts, show, name)
            judged = [attempt for attempt in made if attempt.gate]
            promoted = sum(attempt.is_promoted for attempt in made)
            # The gate may err at its level; more often than that says that it does not work.
            within = chance_of_more(promoted, len(made), how.gate_alpha) >= _SURE
            found = pipeline.out_of_sample(known.rows, made, how)
            reported = found.is_promoted
            numbers = found.contenders["challenger"]
            yield clock.row(
                "a",
                name,
                "refused, no edge",
                f"{promoted} of {len(made)} promoted; afterwards {'an edge' if reported else 'no edge'}: accuracy "
                f"{numbers['accuracy']:.1%}, log-loss {numbers['log_loss']:.4f} against the majority's "
                f"{found.contenders['majority']['log_loss']:.4f}",
                within and not reported and len(judged) == len(made),
            )
