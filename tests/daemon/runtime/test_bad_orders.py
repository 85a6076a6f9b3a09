"""Bad input live, with orders at work: entries pause, stop and exits stay in force and fill, log and metrics say so, nothing is lost."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import generate_latest

from papertape.daemon.app import serve
from papertape.daemon.journal import Journal
from papertape.daemon.monitoring.observer import Operation
from papertape.daemon.runtime.daemon import Hooks, RunningDaemon
from papertape.daemon.runtime.restep import verify_state
from papertape.engine.broker.account import PAUSED_BY_FAULT
from papertape.engine.broker.working.orders import tag_code
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command
from papertape.engine.jit import Rows
from papertape.engine.records import REASON_NAMES
from papertape.engine.strategies import Decision
from tests.support.helpers import interleave, make_candles
from tests.support.journals import derived, identity, recorded


class Careful:
    """
    In the first market: buys 2 with a stop at 95; then half of it rests at 105, and one more at 98. What goes wrong does so
    at the third close. The second market is bought and left, so that its trade has closed by then.
    """

    features = ()
    state_fields = ("n",)

    def decide(self, view: Any) -> Decision | None:
        view.state.n += 1
        n, is_first = int(view.state.n), view.symbol == "AAA"
        if n == 1 and is_first:
            view.buy(2, stop_loss=95)
        elif n == 1:
            view.buy(1)
        elif n == 2 and is_first:
            view.exit(0.5, limit=105, tag="half")
            view.buy(1, limit=98, tag="dip")
        elif n == 2:
            view.exit()
        elif n == 3 and is_first:
            self.go_wrong(view)
        return None

    def go_wrong(self, view: Any) -> None:
        """Do nothing: this one is careful."""


class Negative(Careful):
    def go_wrong(self, view: Any) -> None:
        view.cancel()  # is taken back with everything else of that close
        view.buy(-1)


class NotANumber(Careful):
    def go_wrong(self, view: Any) -> None:
        view.stop = float("nan")


class WrongAnswer(Careful):
    def decide(self, view: Any) -> Decision | None:
        super().decide(view)
        return Decision(1, stop_distance=-5.0) if view.state.n == 3 and view.symbol == "AAA" else None


class RaisesOnFill(Careful):
    """The second market's exit is told at the third close."""

    def on_fill(self, view: Any, fill: Any) -> None:
        if view.symbol == "BBB" and fill.side < 0:
            raise KeyError("no such fill")


class RaisesOnClose(Careful):
    def on_close(self, view: Any, trade: Any) -> None:
        if view.state.n == 2:
            raise ZeroDivisionError("no such trade")


FAULTS = {
    "Negative": ("AAA", "view.buy: quantity -1 is not a finite number above 0"),
    "NotANumber": ("AAA", "view.stop = nan is not a price"),
    "WrongAnswer": ("AAA", "stop_distance"),
    "RaisesOnFill": ("BBB", "KeyError: 'no such fill'"),
    "RaisesOnClose": ("BBB", "ZeroDivisionError: no such trade"),
}
FLAT = (100.0, 101.0, 99.0, 100.0)
PRICES = [
    FLAT,
    FLAT,  # bought at 100
    FLAT,  # what goes wrong is asked at its close
    (100.0, 101.0, 97.0, 100.0),  # the order at 98 would be filled
    (100.0, 106.0, 99.0, 100.0),  # half of it is sold at 105
    (100.0, 101.0, 94.0, 96.0),  # the stop
    *[FLAT] * 4,
    (100.0, 101.0, 97.0, 100.0),  # filled at last, when somebody has let entries in again
    *[FLAT] * 5,
]
RESUMED = 9  # candles before it is


def rows() -> Rows:
    return interleave([make_candles(PRICES, "15m"), make_candles([FLAT] * len(PRICES), "15m")])


def about(kind: str, state: Path) -> Any:
    return identity(
        strategy={"name": f"{__name__}:{kind}"},
        data={"timeframe": "15m"},
        account={"sizing": "all_in"},
        daemon={"state": str(state), "port": 0, "log": "json"},
    )


def run(kind: str, state: Path, candles: Rows, *, is_resumed: bool = True) -> tuple[RunningDaemon, str]:
    """Run a daemon with log and metrics over these candles; return it and what its metrics say at the end."""
    daemons: list[RunningDaemon] = []
    starts: list[int] = []
    account = about(kind, state)
    operation = Operation(account.config, account, is_paced=True)
    hooks = operation.hang_on(Hooks())
    on_ready = hooks.on_ready

    def ready(daemon: RunningDaemon) -> None:
        daemons.append(daemon)
        starts.append(int(daemon.engine.account[0].instants))
        on_ready(daemon)

    hooks.on_ready = ready

    async def hold(instant: int) -> None:
        if is_resumed and starts[0] + instant == RESUMED:
            await daemons[0].command(Action.RESUME)

    daemon = asyncio.run(serve(account, recorded(candles, 1, hold=hold), hooks, is_virtual=True))
    return daemon, generate_latest(operation.metrics.registry).decode()


def fills_of(state: Path) -> list[tuple[int, str, float, float, str]]:
    """Return the first market's fills: candle, side, quantity, price, reason."""
    with Journal.read(state) as journal:
        told = journal.all(
            "SELECT candle_ms, side, quantity, price, reason FROM fills WHERE symbol = 'AAA' ORDER BY sequence"
        )
    start = int(rows()["open_ms"][0])
    return [
        ((at - start) // 900_000 + 1, "buy" if side > 0 else "sell", quantity, price, REASON_NAMES[reason])
        for at, side, quantity, price, reason in told
    ]


@pytest.mark.parametrize("kind", FAULTS)
def test_orders_at_work_stay_at_work_and_protect(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    candles = rows()
    daemon, metrics = run(kind, tmp_path / "whole", candles[: 2 * RESUMED], is_resumed=False)
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines() if "{" in line]

    # Half at its limit, the rest at the stop; nothing was bought at 98, and the order for it waits.
    found = fills_of(tmp_path / "whole")
    assert [(fill[0], fill[1], fill[2]) for fill in found] == [
        (2, "buy", 2.0),
        (5, "sell", 1.0),
        (6, "sell", 1.0),
    ]
    assert (found[1][3], found[2][4]) == (105.0, "stop")
    working = daemon.engine.working[0]
    assert working["tag"][working["status"] != 0].tolist() == [tag_code("dip")]

    symbol, reason = FAULTS[kind]
    [fault] = [line for line in said if line.get("event") == "strategy_fault"]
    assert fault["symbol"] == symbol
    assert fault["reason"].startswith(f"strategy {__name__}:{kind}: {symbol}, candle closed 20")
    assert reason in fault["reason"]
    assert daemon.engine.account["is_paused"][0] == PAUSED_BY_FAULT
    [halted] = [
        line
        for line in metrics.splitlines()
        if line.startswith("papertape_trading_halted{") and 'reason="errors"' in line
    ]
    assert halted.endswith(" 1.0")


@pytest.mark.parametrize("kind", FAULTS)
def test_nothing_of_it_is_lost_at_a_restart(kind: str, tmp_path: Path) -> None:
    """Stopped before the fault, between it and the stop, and after; let in again, the order that waited is filled."""
    candles, whole, parts = rows(), tmp_path / "whole", tmp_path / "parts"
    daemon, _ = run(kind, whole, candles)
    for end in (2, 4, 7, len(PRICES)):
        again, _ = run(kind, parts, candles[: 2 * end])

    assert again.engine.digest == daemon.engine.digest
    assert again.engine.snapshot() == daemon.engine.snapshot()
    assert derived(parts) == derived(whole)
    assert fills_of(whole)[-1][:4] == (11, "buy", 1.0, 98.0)
    assert verify_state(parts, trust_code=True).is_equal
    plain = Engine(about(kind, whole).spec)
    plain.step(candles[: 2 * RESUMED])
    plain.step(Command(Action.RESUME))
    plain.step(candles[2 * RESUMED :])
    assert plain.digest == daemon.engine.digest
    assert np.count_nonzero(plain.account["is_paused"]) == 0
