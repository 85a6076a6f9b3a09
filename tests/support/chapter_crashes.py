"""
A process that kills copies of itself, as `tests.support.crashes` does: a daemon that is stopped in the middle, and started
again with another configuration and the word for a chapter, by somebody who says the same until it runs.
"""

from pathlib import Path

from papertape.daemon.app import serve
from papertape.daemon.chapters.opening import Opening
from papertape.daemon.journal import NAME, Journal
from papertape.daemon.journal.identity import Identity
from papertape.engine.chapters import carry, from_then_on
from papertape.engine.core import Engine
from tests.support.crashes import obey
from tests.support.journals import candles, identity, recorded

ROWS = candles(480)
CUT = 320  # instants before the chapter
BATCH = 80  # instants
CROSS = {
    "strategy": {"name": "ema_cross", "parameters": {"fast": 3, "slow": 8, "allow_short": True}},
    "account": {"sizing": "fraction"},
    "limits": {"drawdown": 0.05},
}


def account(state: Path, *, is_after: bool) -> Identity:
    """Return the account before or after the chapter."""
    return identity(daemon={"state": str(state), "keep_snapshots": 2}, **(CROSS if is_after else {}))


def undisturbed() -> Engine:
    """Return the engine after everything, without a daemon and without a journal."""
    first = Engine(account(Path(), is_after=False).spec)
    first.step(ROWS[: 2 * CUT])
    spec = account(Path(), is_after=True).spec
    second = Engine(from_then_on(spec, int(ROWS["open_ms"][2 * CUT - 1]) + 900_000))
    second.step(ROWS[: 2 * CUT])
    carry(first, second, closes=True)
    second.step(ROWS[2 * CUT :])
    return second


def is_first_over(state: Path) -> bool:
    """Return whether the first account has taken its last candle."""
    if not (state / NAME).is_file():
        return False
    with Journal.open(state, 0) as journal:
        return (journal.last_candle_ms() or 0) >= int(ROWS["open_ms"][2 * CUT - 1])


async def run_daemon(state: Path) -> None:
    """Run the first account to its last candle if it has not got there, then the second one to the end."""
    if not is_first_over(state):
        feed = recorded(ROWS[: 2 * CUT], BATCH)
        await serve(account(state, is_after=False), feed, is_virtual=True)
    feed = recorded(ROWS, BATCH)
    opening = Opening("cross", "close")
    await serve(account(state, is_after=True), feed, is_virtual=True, chapter=opening)


def main() -> None:
    """Load kernels; then obey."""
    undisturbed()
    obey(run_daemon)


if __name__ == "__main__":
    main()
