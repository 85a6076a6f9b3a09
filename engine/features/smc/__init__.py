"""
Smart Money Concepts: market structure as events that are said once, when they are known.

    events       the EVENT record, kinds, scales and tags
    parameters   every parameter, with the reference's defaults
    say, shelf   how kernels append events; zones in the order in which price reaches them
    chart        the candles that the rest looks at
    pivots       swing, internal and equal pivots
    structure    BOS and CHoCH
    blocks       order blocks;  flips: breakers and mitigation blocks
    gaps         fair value gaps, their life, inverse gaps
    impulse      displacement, market structure shift
    liquidity    sweeps, runs, pools
    legs         inducement, optimal trade entry
    civil, sessions   New York's clock; kill zones, previous periods
    market       all of it in order, and the higher timeframe
    columns      what features say about the state
    smart_money  from Python
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
