"""
Ask every engine again, keep what they answer, and write and print the page.

    python -m tests.bench.conformance

It fails when a row is answered otherwise without a named reason, or has a reason and is answered alike.
"""

import sys

from tests.bench.conformance.engines import ENGINES, faults, keep
from tests.bench.conformance.page import PAGE, page
from tests.bench.conformance.table import ROWS


def main() -> None:
    """Print the page; fail with the rows that are not explained."""
    answers = {engine.name: engine.ask(ROWS) for engine in ENGINES}
    keep(answers)
    text = page(answers)
    PAGE.write_text(text, encoding="utf-8")
    print(text, end="")  # noqa: T201
    unexplained = [fault for engine in ENGINES for fault in faults(engine, answers[engine.name])]
    if unexplained:
        sys.exit("\n".join(unexplained))


if __name__ == "__main__":
    main()
