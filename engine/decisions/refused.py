"""
The message for a call of a compiled strategy that no order can mean.

The kernel detects such a call and has no text for it. Here the same call is repeated on the view of a strategy in Python,
whose rules raise the message, so that both forms of a strategy get the same one.
"""

from typing import Any

import numpy as np

from papertape.engine.broker.working.orders import tag_text
from papertape.engine.errors import InvariantError, StrategyError
from papertape.engine.jit import Row, Rows
from papertape.engine.strategies.compiled import records as called
from papertape.engine.strategies.instructions import Instructions
from papertape.engine.strategies.view import FeatureColumns, SymbolBatch, View


def refusal(symbol: str, view: Rows, look: Row, working: Rows) -> str:
    """
    Return what is wrong with the call that was refused last.

    view  of the strategy in kernels, shape (1,); look: LOOK; working: the symbol's orders
    """
    what = int(view["refused"][0])
    instructions = Instructions(int(view["length_ms"][0]))
    instructions.time_ms = int(view["time_ms"][0])
    instructions.rows = [{}] * int(view["n_asked"][0])
    call = {name: view["call"][name][0].item() for name in called.CALL.names or ()}
    options: dict[str, Any] = {name: call[name] for name in called.NUMBERS if call[name] != called.NOT_GIVEN}
    options |= {name: tag_text(call[name]) for name in called.TEXTS if call[name]}
    options |= {name: True for name in called.SWITCHES if call[name]}
    try:
        if what in (called.MOVE_STOP, called.MOVE_TARGET):
            name = called.CALL_NAMES[what]
            instructions.move(name, float(view[name][0]))
        elif what == called.HOLD:
            instructions.hold(options.get("quantity"), options.get("fraction"), call["band"])
        elif what == called.CANCEL:
            instructions.cancel(options.get("tag", ""))
        else:
            in_python = _in_python(symbol, view, look, working, instructions)
            getattr(in_python, called.CALL_NAMES[what])(**options)
    except StrategyError as error:
        return str(error)
    raise InvariantError(f"a kernel refused view.{called.CALL_NAMES[what]}({options})")


def _in_python(symbol: str, view: Rows, look: Row, working: Rows, instructions: Instructions) -> View:
    """Return the view that a strategy in Python would have at this close, as far as a call can depend on it."""
    columns = FeatureColumns(np.zeros((0, 0)), {}, 0)
    bar = [float(view[name][0]) for name in ("open", "high", "low", "close", "volume")]
    batch = SymbolBatch(symbol, None, columns, instructions)
    seen = [float(value) for value in look.tolist()]
    return View(batch, 0, int(view["time_ms"][0]), bar, seen, working)
