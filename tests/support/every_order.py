"""A strategy that uses all that orders can say: what is the same in replay, live and after a restart is asked of it."""

from typing import Any

from papertape.engine.jit import kernel
from papertape.engine.records import LONG, SHORT
from papertape.engine.strategies import Decision

N_PLANS = 13


def fee(notional: float, price: float, size: float, is_maker: bool, rate: float, volume: float) -> float:
    """Return a fee that no table says: what was traded before makes it smaller, up to a half."""
    return notional * (rate if is_maker else 2.0 * rate) * (1.0 - 0.5 * min(volume / 1e6, 1.0))


class EveryOrder:
    """
    Enters by every kind of order in turn, one plan per entry, and leaves by ladders, trails, moved stops and time.

    What the hooks were told decides what is done next, so that a call that is lost or repeated changes the digest.
    """

    features = ("atr_14", "rsi_14")
    state_fields = ("bars", "plan", "bought", "earned", "closed")
    history_bars = 8
    reads_model = False

    def on_fill(self, view: Any, fill: Any) -> None:
        view.state.bought += fill.side * fill.quantity + fill.fee

    def on_close(self, view: Any, trade: Any) -> None:
        view.state.earned += trade.pnl
        view.state.closed += 1

    def decide(self, view: Any) -> Decision | None:
        state, atr = view.state, view["atr_14"]
        state.bars += 1
        if view.why("atr above 0", atr, 0):
            return None
        if view.position != 0.0:
            hold(view, atr)
            if int(state.plan) == 12 and state.bars % 4 == 0:
                view.hold(fraction=-0.2 if view.position > 0.0 else 0.2, band=0.02)
            return None
        if view.why("nothing waits", len(view.orders) == 0):
            if state.bars % 5 == 0:
                view.cancel()
            return None
        state.plan = (state.plan + 1 + (state.earned < 0.0)) % N_PLANS
        plan = int(state.plan)
        if self.reads_model and view["model_probability"] > 0.5:
            plan = (plan + 1) % N_PLANS
        return enter(view, atr, plan)


def enter(view: Any, atr: float, plan: int) -> Decision | None:
    """Place what one plan says; plans 10 and 11 are what is refused, and today's decision."""
    close, low = view.close, float(view.history("low", 8).min())
    near, far = 2 * atr, 3 * atr
    if plan == 0:
        view.buy(stop_distance=near, target_distance=far)
    elif plan == 1:
        view.sell(
            fraction=0.3,
            limit=close + 0.5 * atr,
            post_only=True,
            tag="fade",
            stop_distance=near,
            target_distance=far,
        )
    elif plan == 2:
        view.buy(fraction=0.2, stop=close + 0.3 * atr, oco="out", stop_distance=near, target_distance=far)
        view.sell(fraction=0.2, stop=close - 0.3 * atr, oco="out", stop_distance=near, target_distance=far)
    elif plan == 3:
        view.buy(fraction=0.4, stop=close + 0.2 * atr, limit=close + 0.4 * atr, expires_bars=3)
    elif plan == 4:
        view.buy(fraction=0.3, touch=min(low, close - 0.2 * atr), stop_distance=near, target_distance=far)
    elif plan == 5:
        view.sell(
            fraction=0.3,
            touch=close + 0.2 * atr,
            limit=close,
            tag="touch",
            stop_distance=near,
            target_distance=far,
        )
    elif plan == 6:
        view.buy(fraction=0.3, trail=atr, activate=close - 0.2 * atr, stop_distance=near, target_distance=far)
    elif plan == 7:
        view.sell(fraction=0.2, trail_percent=0.8, expires_ms=view.time_ms + 20 * 3_600_000)
    elif plan == 8:
        view.buy(
            fraction=0.5, limit=close + atr, time_in_force="ioc", stop_distance=near, target_distance=far
        )
    elif plan == 9:
        view.sell(fraction=0.5, time_in_force="fok", stop_distance=near, target_distance=far)
    elif plan == 10:
        view.buy(fraction=0.2, stop=close - atr)  # refused: on the wrong side of the close
        view.cancel("nobody")
        view.buy(fraction=0.2, limit=close - 0.1 * atr, tag="dip")
    elif plan == 12:
        view.hold(fraction=0.3)
    else:
        side = LONG if view["rsi_14"] < 50.0 else SHORT
        return Decision(side, 2 * atr, 3 * atr)
    return None


def hold(view: Any, atr: float) -> None:
    """Add once, take parts off, move stop and target, and leave in time."""
    side = 1 if view.position > 0.0 else -1
    n_leaving, n_adding = 0, 0
    for order in view.orders:
        if order.tag == "part" or order.tag == "trail":
            n_leaving += 1
        if order.tag == "more":
            n_adding += 1
    gain = side * (view.close - view.entry_price)
    if n_leaving == 0:
        view.exit(0.3, limit=view.close + side * 0.6 * atr, tag="part")
        view.exit(0.3, trail=1.5 * atr, tag="trail")
    if gain > 0.5 * atr:
        view.stop = view.entry_price  # break-even
        view.target = view.entry_price + side * 4 * atr
    elif gain < -0.5 * atr and n_adding == 0:
        price = view.close - side * 0.3 * atr
        if side > 0:
            view.buy(fraction=0.1, limit=price, tag="more", expires_bars=8)
        else:
            view.sell(fraction=0.1, limit=price, tag="more", expires_bars=8)
    if view.time_ms - view.entry_ms >= 12 * 3_600_000:
        view.cancel()
        view.exit()


class AskingEveryOrder(EveryOrder):
    """Lets a model choose among the plans as well, so that models are trained for it."""

    reads_model = True


class EveryOrderKernel(EveryOrder):
    """The same text, compiled."""

    decide = kernel(EveryOrder.decide)
    on_fill = kernel(EveryOrder.on_fill)
    on_close = kernel(EveryOrder.on_close)


class EveryOrderBeside(EveryOrder):
    """The same, and what another symbol did decides which plan is next: its candles, its longer trend, its past."""

    def __init__(self, other: str = "BBB") -> None:
        self.other = other

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]
        return (*EveryOrder.features, f"{self.other}:close", f"{self.other}:ema_3@4h")

    def decide(self, view: Any) -> Decision | None:
        past = view.history(f"{self.other}:close", 8)
        if past[-1] != past[-1]:
            return None  # it is not there
        if view.position == 0.0 and past[-1] < view[f"{self.other}:ema_3@4h"]:
            view.state.plan = (view.state.plan + 1) % N_PLANS
        return super().decide(view)
