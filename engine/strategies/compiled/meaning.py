"""
What a call of a strategy in kernels means: an instruction, or what no order can mean.

The same rules as in `papertape.engine.strategies.instructions`, which has the words: what is refused here is called once
more there, and that says why (`papertape.engine.decisions.compiled`). A test holds the two against one another.
"""

from typing import Final

import numpy as np

from papertape.engine.broker.working.instructions import CANCEL as TAKE_BACK
from papertape.engine.broker.working.instructions import HOLD as AS_TARGET
from papertape.engine.broker.working.instructions import LATEST_MS, MOST_INSTRUCTIONS, MOVE, PLACE
from papertape.engine.broker.working.orders import (
    AT_MARKET,
    FOK,
    GTC,
    IOC,
    LIMIT,
    STOP,
    STOP_LIMIT,
    TOUCH,
    TOUCH_LIMIT,
    TRAIL,
    tag_code,
)
from papertape.engine.jit import Row, kernel
from papertape.engine.strategies.compiled.records import (
    BUY,
    CANCEL,
    EXIT,
    HOLD,
    MOVE_STOP,
    MOVE_TARGET,
    NOT_GIVEN,
)

_GTC: Final = tag_code("gtc")
_IOC: Final = tag_code("ioc")
_FOK: Final = tag_code("fok")


@kernel
def understand(view: Row) -> int:
    """Write what the newest call asks for as an instruction; return 0 for what no order can mean."""
    call = view.call
    view.refused = call.what
    if view.n_asked == MOST_INSTRUCTIONS:
        return 0
    view.asked[view.n_asked] = view.blank
    instruction = view.asked[view.n_asked]
    if call.what == CANCEL:
        instruction.action = TAKE_BACK
        instruction.tag = call.tag
    elif call.what == HOLD:
        if not is_target(call, instruction):
            return 0
    elif not is_order(view, call, instruction):
        return 0
    view.n_asked += 1
    view.refused = 0
    return 1


@kernel
def moved(view: Row) -> int:
    """Write what was assigned to stop and target as instructions; return 0 for what is no price."""
    if view.stop != view.known_stop:
        if not move(view, MOVE_STOP, view.stop):
            return 0
        view.known_stop = view.stop
    if view.target != view.known_target:
        if not move(view, MOVE_TARGET, view.target):
            return 0
        view.known_target = view.target
    return 1


@kernel
def move(view: Row, what: int, price: float) -> bool:
    """Write one level that was moved; return whether it is a price."""
    view.refused = what
    if view.n_asked == MOST_INSTRUCTIONS or not 0.0 <= price < np.inf:
        return False
    view.asked[view.n_asked] = view.blank
    instruction = view.asked[view.n_asked]
    view.n_asked += 1
    instruction.action = MOVE
    instruction.stop_price = price if what == MOVE_STOP else np.nan
    instruction.target_price = price if what == MOVE_TARGET else np.nan
    view.refused = 0
    return True


@kernel
def is_order(view: Row, call: Row, instruction: Row) -> bool:
    """Write the order that a call asks for; return whether an order can mean it."""
    instruction.action = PLACE
    instruction.confidence = 1.0
    instruction.size_scale = 1.0
    instruction.is_reduce_only = 1 if call.reduce_only != 0 else 0
    instruction.target = 1 if call.what == BUY else -1
    if call.what == EXIT:
        if view.position == 0.0:
            return False
        instruction.target = -1 if view.position > 0.0 else 1
        instruction.is_reduce_only = 1
        if call.quantity == NOT_GIVEN and call.share == NOT_GIVEN:
            call.share = 1.0
    instruction.tag = call.tag
    instruction.group = call.oco
    return has_kind(call, instruction) and has_size(call, instruction) and has_life(view, call, instruction)


@kernel
def is_target(call: Row, instruction: Row) -> bool:
    """Write the target position that a call asks for; return whether it is one."""
    instruction.action = AS_TARGET
    if (call.quantity == NOT_GIVEN) == (call.fraction == NOT_GIVEN):
        return False
    value = call.quantity if call.fraction == NOT_GIVEN else call.fraction
    if call.fraction == NOT_GIVEN:
        instruction.quantity = value
    else:
        instruction.fraction = value
    instruction.band = call.band
    return abs(value) < np.inf and 0.0 <= call.band < np.inf  # type: ignore[no-any-return]


@kernel
def amount(value: float) -> float:
    """Return a number above 0 as it is, 0 for one that was not given, NaN for any other."""
    if value == NOT_GIVEN:
        return 0.0
    return value if 0.0 < value < np.inf else np.nan


@kernel
def has_kind(call: Row, instruction: Row) -> bool:
    """Write the kind of an order and its prices; return whether they go together."""
    limit = amount(call.limit)
    stop = amount(call.stop)
    touch = amount(call.touch)
    trail = amount(call.trail)
    rate = amount(call.trail_percent) / 100.0
    activation = amount(call.activate)
    instruction.limit_price = limit
    instruction.trigger_price = stop + touch
    instruction.trail_distance = trail
    instruction.trail_rate = rate
    instruction.activation_price = activation
    instruction.stop_price = amount(call.stop_loss)
    instruction.target_price = amount(call.take_profit)
    instruction.stop_distance = amount(call.stop_distance)
    instruction.target_distance = amount(call.target_distance)
    levels = instruction.stop_price + instruction.target_price
    distances = instruction.stop_distance + instruction.target_distance
    if np.isnan(limit + stop + touch + trail + rate + activation + levels + distances):
        return False
    is_trailing = trail > 0.0 or rate > 0.0
    # Whole numbers: without the compiler the sum of two of numpy's truths is one truth.
    n_triggers = int(stop > 0.0) + int(touch > 0.0) + int(trail > 0.0) + int(rate > 0.0)
    if n_triggers > 1 or call.trail_percent >= 100.0 or (is_trailing and limit > 0.0):
        return False
    if stop > 0.0:
        instruction.kind = STOP_LIMIT if limit > 0.0 else STOP
    elif touch > 0.0:
        instruction.kind = TOUCH_LIMIT if limit > 0.0 else TOUCH
    elif is_trailing:
        instruction.kind = TRAIL
    else:
        instruction.kind = LIMIT if limit > 0.0 else AT_MARKET
    return is_trailing or not activation > 0.0


@kernel
def has_size(call: Row, instruction: Row) -> bool:
    """Write how much an order is for; return whether it is said once."""
    quantity = amount(call.quantity)
    fraction = amount(call.fraction)
    share = amount(call.share)
    n_sizes = int(quantity != 0.0) + int(fraction != 0.0) + int(share != 0.0)
    if n_sizes > 1 or np.isnan(quantity + fraction + share) or share > 1.0:
        return False
    instruction.quantity = quantity
    instruction.fraction = fraction
    instruction.share = share if share < 1.0 else 0.0
    instruction.is_whole = 1 if share == 1.0 else 0
    return True


@kernel
def has_life(view: Row, call: Row, instruction: Row) -> bool:
    """Write how long an order may work, and whether it may take; return whether that goes with its kind."""
    kind = instruction.kind
    if call.time_in_force == _IOC:
        instruction.time_in_force = IOC
    elif call.time_in_force == _FOK:
        instruction.time_in_force = FOK
    elif call.time_in_force != _GTC and call.time_in_force != 0:
        return False
    is_at_once = instruction.time_in_force != GTC
    if is_at_once and kind != AT_MARKET and kind != LIMIT:
        return False
    if call.post_only != 0:
        instruction.is_post_only = 1
        if kind != LIMIT or is_at_once:
            return False
    bars = amount(call.expires_bars)
    until_ms = amount(call.expires_ms)
    if np.isnan(bars + until_ms) or (bars > 0.0 and until_ms > 0.0):
        return False
    if bars * view.length_ms + view.time_ms >= LATEST_MS or until_ms >= LATEST_MS:
        return False
    if bars > 0.0:
        instruction.expires_ms = view.time_ms + int(bars) * view.length_ms
    elif until_ms > 0.0:
        instruction.expires_ms = int(until_ms)
    return True
