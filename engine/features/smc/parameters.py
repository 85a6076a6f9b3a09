"""The parameters of every concept in one record, with the reference's defaults."""

from typing import Final

import numpy as np

from papertape.engine.jit import Row, Rows, kernel, record

LONGEST_PIVOT: Final = 250  # bars; queues of candidates hold this many
N_KILL_ZONES: Final = 4

PARAMETERS: Final = record(
    ("is_set", "i8"),
    ("length_ms", "i8"),  # of a candle
    ("swing_bars", "i8"),
    ("internal_bars", "i8"),
    ("equal_bars", "i8"),
    ("equal_atr", "f8"),  # equal levels and pools: tolerance in long ATR
    ("long_atr_bars", "i8"),
    ("short_atr_bars", "i8"),
    ("is_confluence", "i8"),  # internal breaks ask for the longer wick on the far side
    ("is_mean_range", "i8"),  # wild candles by the mean true range instead of the long ATR
    ("wild_factor", "f8"),
    ("is_close_mitigation", "i8"),
    ("is_auto_threshold", "i8"),
    ("gap_age_bars", "i8"),  # 0 = no limit
    ("inverse_age_bars", "i8"),  # 0 = no limit; 100 is advised for signals
    ("displacement_atr", "f8"),
    ("displacement_share", "f8"),
    ("shift_bars", "i8"),  # an MSS wants a displacement among so many candles
    ("return_bars", "i8"),  # a passed level is a run after so many candles
    ("is_swing_liquidity", "i8"),  # levels from swing pivots instead of internal ones
    ("pool_atr", "f8"),
    ("ote_near", "f8"),
    ("ote_middle", "f8"),
    ("ote_far", "f8"),
    ("zone_start", "i8", (N_KILL_ZONES,)),  # minutes of the New York day
    ("zone_end", "i8", (N_KILL_ZONES,)),
    ("higher_ms", "i8"),
    ("higher_swing_bars", "i8"),
    ("higher_internal_bars", "i8"),
)


@kernel
def higher_length(length_ms: int) -> int:
    """Return the higher timeframe of a candle length: of 1h, 4h, 1d and 1w the shortest of at least 16 candles."""
    if 16 * length_ms <= 3_600_000:
        return 3_600_000
    if 16 * length_ms <= 14_400_000:
        return 14_400_000
    if 16 * length_ms <= 86_400_000:
        return 86_400_000
    return 604_800_000


@kernel
def set_defaults(p: Row, length_ms: int) -> None:
    """Write the reference's defaults for candles of `length_ms`."""
    p.is_set = 1
    p.length_ms = length_ms
    p.swing_bars = 50
    p.internal_bars = 5
    p.equal_bars = 3
    p.equal_atr = 0.1
    p.long_atr_bars = 200
    p.short_atr_bars = 14
    p.wild_factor = 2.0
    p.is_auto_threshold = 1
    p.displacement_atr = 1.5
    p.displacement_share = 0.65
    p.shift_bars = 3
    p.return_bars = 3
    p.pool_atr = 0.1
    p.ote_near = 0.62
    p.ote_middle = 0.705
    p.ote_far = 0.79
    p.zone_start[0] = 20 * 60  # Asia
    p.zone_end[0] = 24 * 60
    p.zone_start[1] = 2 * 60  # London open
    p.zone_end[1] = 5 * 60
    p.zone_start[2] = 7 * 60  # New York
    p.zone_end[2] = 10 * 60
    p.zone_start[3] = 10 * 60  # London close
    p.zone_end[3] = 12 * 60
    p.higher_ms = higher_length(length_ms)
    p.higher_swing_bars = 5
    p.higher_internal_bars = 3


def default_parameters(length_ms: int) -> Rows:
    """Return one PARAMETERS record with the reference's defaults, to be changed field by field."""
    parameters = np.zeros(1, PARAMETERS)
    set_defaults(parameters[0], length_ms)
    return parameters
