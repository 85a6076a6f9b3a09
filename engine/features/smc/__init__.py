"""
Smart Money Concepts: market structure as events that are emitted once, when they are known.

    events parameters   the EVENT record, kinds, scales and tags; every parameter, with the reference's defaults
    emit price_levels   how kernels append events; zones in the order in which price reaches them
    recent              the candles that the rest looks at
    swings structure    swing, internal and equal pivots; BOS and CHoCH
    blocks breakers     order blocks; breakers and mitigation blocks
    gaps displacement   fair value gaps, their life, inverse gaps; displacement, market structure shift
    liquidity           sweeps, runs, pools
    retracement         inducement, optimal trade entry
    calendar sessions   New York's clock; kill zones, previous periods
    tracker             all of it in order, and the higher timeframe
    columns feature     what features say about the state; the feature's row
    stepper             from Python
"""

from papertape.engine.features.smc.events import EVENT, KIND_NAMES, SCALE_NAMES, TAG_NAMES
from papertape.engine.features.smc.parameters import PARAMETERS, default_parameters
from papertape.engine.features.smc.stepper import SmartMoney

__all__ = [
    "EVENT",
    "KIND_NAMES",
    "PARAMETERS",
    "SCALE_NAMES",
    "TAG_NAMES",
    "SmartMoney",
    "default_parameters",
]
