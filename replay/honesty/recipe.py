"""
(f) The recipe over years: noise hardly ever passes at any time, an edge does within a year, and one that ends is demoted.

Predictions of known accuracy stand for models, so that years take seconds; what adds their evidence up is what a replay and a
daemon use.
"""

from collections.abc import Iterator

from papertape.engine.model.gate.recipe import RecipeOptions
from papertape.replay.honesty.experiment import HonestyOptions, HonestyRow, RowTimer, Show
from papertape.replay.research.gate_study import chance_of_more
from papertape.replay.research.recipe_study import MUSTS, NOISES, RecipeRow, RecipeStudyOptions, recipe_study

_EDGE = 0.55
_ENDS = 0.6
_SURE = 0.01
_FADED = 0.8  # of the histories whose edge has ended for as long as it lasted


def recipes(options: HonestyOptions, show: Show | None = None) -> Iterator[HonestyRow]:
    """Yield a row for all noise, one for an edge and one for an edge that ends."""
    clock = RowTimer()
    how = RecipeStudyOptions(
        runs=options.histories, years=options.years, accuracies=(_EDGE,), ends=(_ENDS,), seed=options.seed
    )
    found = list(recipe_study(how, RecipeOptions(), show))
    noise, (edge, ending) = found[: len(NOISES)], found[len(NOISES) :]
    yield _noise(clock, noise)
    yield clock.row(
        "f",
        f"recipe, edge of {_EDGE:.0%}",
        f"passes in {MUSTS[_EDGE]:.0%} of years",
        f"{edge.rate:.0%} of {edge.runs} passed within {edge.years:g} year, half by month {edge.months or 0.0:.0f}",
        edge.is_fine,
    )
    # What passed and has not faded is still trusted: all of them lost what they knew halfway.
    missed = ending.passed - round(ending.runs * ending.ended)
    yield clock.row(
        "f",
        f"recipe, edge of {_ENDS:.0%} that ends",
        f"demoted in {_FADED:.0%} of histories",
        f"{ending.ended:.0%} of {ending.runs} demoted, half within {ending.months or 0.0:.0f} months",
        ending.passed > 0 and chance_of_more(missed, ending.passed, 1.0 - _FADED) >= _SURE,
    )


def _noise(clock: RowTimer, rows: list[RecipeRow]) -> HonestyRow:
    worst = max(rows, key=lambda row: row.rate)
    return clock.row(
        "f",
        f"recipe, {len(rows)} kinds of noise over {worst.years:g} years",
        "passes at any time in 5 % of histories or fewer",
        f"{sum(row.passed for row in rows)} of {sum(row.runs for row in rows)} passed; the most of {worst.case}: "
        f"{worst.rate:.1%}",
        all(row.is_fine for row in rows),
    )
