"""The page of the documents: what each engine does with each row."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.bench.conformance.differences import names_by_row
from tests.bench.conformance.engines import ENGINES, ROOT, Engine
from tests.bench.conformance.rows import Fills
from tests.bench.conformance.table import ROWS, ours

PAGE: Final[Path] = ROOT / "deploy" / "docs" / "conformance.md"
# Tried: `Backtesting(config)` where no venue can be reached, with a configuration and a strategy that it takes.
NOT_ASKED: Final = (
    "",
    "freqtrade is not in the table: its strategies say signals over a table of candles and one entry or exit price each, not orders, and "
    "`Backtesting` of 2026.9 loads the venue's markets first and stops without a network (`Could not load markets, therefore cannot start`).",
)
Answers = dict[str, Fills | str]


def page(answers: dict[str, Answers]) -> str:
    """Return it."""
    head = (
        "# Conformance",
        "",
        "Made by `make conformance`: each situation of `tests/engine/broker/working/conformance`, the same candles and the same instructions, in "
        "papertape and in other engines, compared by fills. An engine that a situation cannot be told, for an order or a setting that it does not "
        "have, is not asked.",
        "",
        f"| Of {len(ROWS)} situations | alike | otherwise | no words for it |",
        "|---|---|---|---|",
        *(counted(engine, answers[engine.name]) for engine in ENGINES),
    )
    parts = [*head, *NOT_ASKED]
    for engine in ENGINES:
        parts += reasons(engine)
    parts += situations(answers)
    for engine in ENGINES:
        parts += silent(engine, answers[engine.name])
    return "\n".join(parts) + "\n"


def counted(engine: Engine, told: Answers) -> str:
    kinds = Counter(
        "no words" if isinstance(answer, str) else "alike" if answer == ours()[title] else "otherwise"
        for title, answer in told.items()
    )
    return (
        f"| {engine.name} {engine.version} | {kinds['alike']} | {kinds['otherwise']} | {kinds['no words']} |"
    )


def reasons(engine: Engine) -> Iterator[str]:
    yield from ("", f"## Why {engine.name} answers otherwise", "")
    yield from ("| Name | Situations | Reason |", "|---|---|---|")
    for kind in sorted(engine.differences, key=lambda kind: -len(kind.rows)):
        yield f"| {kind.name} | {len(kind.rows)} | {kind.reason} |"


def situations(answers: dict[str, Answers]) -> Iterator[str]:
    yield from ("", "## Every situation", "")
    yield "Fills are `candle: signed quantity @ price`; what stands in italics is named above, what in brackets an engine has no words for."
    titles = " | ".join(engine.name for engine in ENGINES)
    yield from ("", f"| Situation | papertape | {titles} |", "|---|---|" + "---|" * len(ENGINES))
    names = {engine.name: names_by_row(engine.differences) for engine in ENGINES}
    for row in ROWS:
        cells = []
        for engine in ENGINES:
            told = answers[engine.name][row.title]
            if isinstance(told, str):
                cells.append(f"({told})")
            elif told == ours()[row.title]:
                cells.append("alike")
            else:
                why = ", ".join(names[engine.name].get(row.title, ["?"]))
                cells.append(f"{written(told)} *{why}*")
        yield f"| {row.title} | {written(ours()[row.title])} | {' | '.join(cells)} |"


def silent(engine: Engine, told: Answers) -> Iterator[str]:
    yield from ("", f"## What {engine.name} has no words for", "")
    yield from ("| What | Situations |", "|---|---|")
    kinds = Counter(answer for answer in told.values() if isinstance(answer, str))
    for what, count in sorted(kinds.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"| {what} | {count} |"


def written(fills: Fills) -> str:
    """Return fills as a cell of the table."""
    cells = [f"{candle}: {quantity:+g} @ {price:g}" for candle, quantity, price in fills]
    return ", ".join(cells) or "none"
