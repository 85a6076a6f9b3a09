"""
Events of market structure: what was said, about which candle, and when it became known.

An event is appended and never changes. What stops being true is said by another event: a block is touched, then
mitigated; a gap is filled, inverted, ended; a pool is swept. A strategy may act on an event from the candle after
`known_bar` on; a chart may draw it at `bar`.

Fields that a kind does not have: prices and strength are NaN, `reference` is -1, `scale` and `tag` are 0.
Side is +1 where higher prices are expected (bullish) and -1 where lower ones are, except for pivots and equal levels,
where +1 is a high and -1 a low. Numbers of candles count from 0 at the first candle of the symbol's timeframe.
"""

from typing import Final

from papertape.engine.jit import record

EVENT: Final = record(
    ("sequence", "i8"),  # counts the events of one symbol and timeframe
    ("symbol", "i8"),  # index into the portfolio's symbols
    ("timeframe_ms", "i8"),
    ("known_ms", "i8"),  # close time of the candle that made it known
    ("formed_ms", "i8"),  # open time of the candle it is about
    ("known_bar", "i8"),
    ("bar", "i8"),
    ("kind", "i8"),
    ("scale", "i8"),
    ("side", "i8"),
    ("top", "f8"),
    ("bottom", "f8"),
    ("level", "f8"),
    ("strength", "f8"),  # in ATR(14) of the candle before unless the kind says otherwise
    ("reference", "i8"),  # candle of the thing it refers to
    ("tag", "i8"),
)

SWING: Final = 1  # pivot confirmed: level, tag HH … LL; reference: the pivot before of its kind
BOS: Final = 2  # close through a pivot with the trend: bar and level of the pivot
CHOCH: Final = 3  # … against the trend
MSS: Final = 4  # internal CHoCH with a displacement
ORDER_BLOCK: Final = 5  # zone; reference: the broken pivot
ORDER_BLOCK_TOUCHED: Final = 6  # near edge reached
ORDER_BLOCK_MITIGATED: Final = 7  # far edge passed
BREAKER: Final = 8  # block closed through after the outer liquidity was taken; side: the new one
MITIGATION_BLOCK: Final = 9  # … without
FLIP_END: Final = 10  # a breaker or mitigation block closed through
# level of the new pivot; top and bottom: the two levels; reference: the pivot before
EQUAL_HIGHS: Final = 11
EQUAL_LOWS: Final = 12
FVG: Final = 13  # fair value gap above the automatic threshold
FVG_CLOSED: Final = 14  # … filled through its far edge
GAP: Final = 15  # plain fair value gap
FVG_TOUCH: Final = 16  # plain gap: near edge, middle, far edge reached
FVG_HALF: Final = 17
FVG_FILL: Final = 18
IFVG: Final = 19  # closed beyond the far edge: works the other way
IFVG_END: Final = 20  # closed beyond the other side, or too old (tag expired)
DISPLACEMENT: Final = 21  # strength: body in ATR
SWEEP: Final = 22  # level passed and closed back inside; reference: the candle that passed it
RUN: Final = 23  # level passed and not regained
POOL: Final = 24  # two pivots at one level; strength: members
POOL_GROWN: Final = 25
POOL_SWEEP: Final = 26
POOL_RUN: Final = 27
IDM_SET: Final = 28  # inducement
IDM_TAKEN: Final = 29
IDM_FAILED: Final = 30
IDM_EXPIRED: Final = 31
OTE_ENTER: Final = 32  # zone of the retracement, level its middle; bar: origin of the leg
OTE_FAILED: Final = 33
KILL_ZONE_OPEN: Final = 34  # tag: which
KILL_ZONE_CLOSE: Final = 35  # top, bottom: high and low; bar: its first candle
PERIOD: Final = 36  # a new period began: top, bottom of the one before; tag: which
PERIOD_BROKEN: Final = 37  # the high (+1) or low (-1) of the period before was passed: level
HTF_BIAS: Final = 38  # swing trend of the higher timeframe changed
# as SWEEP, of a level that is no pivot; the scale tells which: equal, day, week, session
LEVEL_SWEEP: Final = 39
LEVEL_RUN: Final = 40
GAP_EXPIRED: Final = 39  # a plain gap grew too old

KIND_NAMES: Final = {
    SWING: "SWING",
    BOS: "BOS",
    CHOCH: "CHOCH",
    MSS: "MSS",
    ORDER_BLOCK: "OB",
    ORDER_BLOCK_TOUCHED: "OB_TOUCHED",
    ORDER_BLOCK_MITIGATED: "OB_MITIGATED",
    BREAKER: "BREAKER",
    MITIGATION_BLOCK: "MITIGATION_BLOCK",
    FLIP_END: "FLIP_END",
    EQUAL_HIGHS: "EQH",
    EQUAL_LOWS: "EQL",
    FVG: "FVG",
    FVG_CLOSED: "FVG_CLOSED",
    GAP: "GAP",
    FVG_TOUCH: "FVG_TOUCH",
    FVG_HALF: "FVG_HALF",
    FVG_FILL: "FVG_FILL",
    IFVG: "IFVG",
    IFVG_END: "IFVG_END",
    DISPLACEMENT: "DISPLACEMENT",
    SWEEP: "SWEEP",
    RUN: "RUN",
    POOL: "POOL",
    POOL_GROWN: "POOL_GROWN",
    POOL_SWEEP: "POOL_SWEEP",
    POOL_RUN: "POOL_RUN",
    IDM_SET: "IDM_SET",
    IDM_TAKEN: "IDM_TAKEN",
    IDM_FAILED: "IDM_FAILED",
    IDM_EXPIRED: "IDM_EXPIRED",
    OTE_ENTER: "OTE_ENTER",
    OTE_FAILED: "OTE_FAILED",
    KILL_ZONE_OPEN: "KZ_OPEN",
    KILL_ZONE_CLOSE: "KZ_CLOSE",
    PERIOD: "PERIOD",
    PERIOD_BROKEN: "PERIOD_BROKEN",
    HTF_BIAS: "HTF_BIAS",
    LEVEL_SWEEP: "LEVEL_SWEEP",
    LEVEL_RUN: "LEVEL_RUN",
    GAP_EXPIRED: "GAP_EXPIRED",
}

SCALE_NONE: Final = 0
SCALE_INTERNAL: Final = 1
SCALE_SWING: Final = 2
# swing scale of the higher timeframe; candle numbers are those of the lane's own candles
SCALE_HTF: Final = 3
# Of levels that are no pivots: what made them.
SCALE_EQUAL: Final = 4
SCALE_DAY: Final = 5
SCALE_WEEK: Final = 6
SCALE_SESSION: Final = 7
SCALE_NAMES: Final = {
    SCALE_NONE: "",
    SCALE_INTERNAL: "internal",
    SCALE_SWING: "swing",
    SCALE_HTF: "htf",
    SCALE_EQUAL: "equal",
    SCALE_DAY: "day",
    SCALE_WEEK: "week",
    SCALE_SESSION: "session",
}

TAG_NONE: Final = 0
HIGHER_HIGH: Final = 1
LOWER_HIGH: Final = 2
HIGHER_LOW: Final = 3
LOWER_LOW: Final = 4
BY_WICK: Final = 5  # the candle that passed the level closed back inside
BY_RETURN: Final = 6  # a later candle did
EXPIRED: Final = 7
ZONE_ASIA: Final = 11
ZONE_LONDON_OPEN: Final = 12
ZONE_NEW_YORK: Final = 13
ZONE_LONDON_CLOSE: Final = 14
PERIOD_4H: Final = 21
PERIOD_DAY: Final = 22
PERIOD_WEEK: Final = 23
PERIOD_MONTH: Final = 24
TAG_NAMES: Final = {
    TAG_NONE: "",
    HIGHER_HIGH: "HH",
    LOWER_HIGH: "LH",
    HIGHER_LOW: "HL",
    LOWER_LOW: "LL",
    BY_WICK: "wick",
    BY_RETURN: "return",
    EXPIRED: "expired",
    ZONE_ASIA: "asia",
    ZONE_LONDON_OPEN: "london_open",
    ZONE_NEW_YORK: "new_york_am",
    ZONE_LONDON_CLOSE: "london_close",
    PERIOD_4H: "4h",
    PERIOD_DAY: "day",
    PERIOD_WEEK: "week",
    PERIOD_MONTH: "month",
}
