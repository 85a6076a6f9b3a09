"""What a strategy saw of stop, target and trailing orders at every close: what a path of levels is held against."""

import io
import json
from collections.abc import Callable
from contextlib import redirect_stdout
from typing import Any, NamedTuple

from tests.support.every_order import EveryOrder


class Seen(NamedTuple):
    """One symbol at one close, before anything was asked for there."""

    symbol: str
    time_ms: int
    entry_ms: int  # of the position; 0 when flat
    stop: float  # 0 = none
    target: float
    extremes: dict[int, float]  # of trailing orders by number; 0 before one is active
    resting: list[int]  # numbers of working orders, those at market left out
    position: float
    entry_price: float
    features: dict[str, float]


class Watched(EveryOrder):
    """Trades with every kind of order, and says what it sees: it must keep nothing that is not declared."""

    features = ("atr_14", "rsi_14", "ema_20", "bollinger_20_2")

    def decide(self, view: Any) -> Any:
        trails = {o.number: o.trigger for o in view.orders if o.kind == "trailing stop"}
        resting = [o.number for o in view.orders if o.kind != "market"]
        values = {name: view[name] for name in DRAWN}
        seen = (
            view.symbol,
            view.time_ms,
            view.entry_ms,
            view.stop,
            view.target,
            trails,
            resting,
            view.position,
            view.entry_price,
            values,
        )
        print(json.dumps(seen))  # noqa: T201
        return super().decide(view)


DRAWN = ("atr_14", "rsi_14", "ema_20", "bollinger_20_2_upper", "bollinger_20_2_width")


def seen_by(run: Callable[[], Any]) -> list[Seen]:
    """Return what a strategy saw while `run` ran."""
    with redirect_stdout(io.StringIO()) as said:
        run()
    found = [Seen(*json.loads(line)) for line in said.getvalue().splitlines()]
    return [look._replace(extremes={int(n): e for n, e in look.extremes.items()}) for look in found]
