"""What models read unless told otherwise: nothing here grows with the price or the volume."""

from collections.abc import Sequence
from typing import Final

from papertape.engine.features import columns_of
from papertape.engine.features.requests import RequestParts

MODEL_FEATURES: Final = (
    "log_return_1",
    "log_return_6",
    "log_return_24",
    "rsi_14",
    "adx_14",
    "stochastic_5_3_3",
    "mfi_14",
    "volatility_close_20",
    "volume_z_20",
    "candle_shape",
)

# Of the columns of `smc`: directions, the place in the range, distances in ATR to what is nearest, what happened lately.
# Left out: the unit itself, which grows with the price; ages, whose tail of 500 bars drowns the rest of their scale;
# counts and flags that others say already.
STRUCTURE_INPUTS: Final = (
    "smc_trend_swing",
    "smc_trend_internal",
    "smc_trend_higher",
    "smc_position",
    "smc_block_below",
    "smc_block_above",
    "smc_gap_below",
    "smc_gap_above",
    "smc_pool_below",
    "smc_pool_above",
    "smc_reaction",
    "smc_displacement",
    "smc_retracement",
    "smc_inducement",
    "smc_day_high",
    "smc_day_low",
)


def default_inputs(
    use_smc: bool, timeframes: Sequence[str], timeframe: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """
    Return the requests to compute and the columns that a model reads, of every timeframe.

    timeframe   of the strategy, whose columns have no suffix; timeframes: those beside it, each once more as name@…
    """
    features: list[str] = []
    inputs: list[str] = []
    for frame in dict.fromkeys((timeframe, *timeframes)):
        at = RequestParts("", "", "" if frame == timeframe else frame)
        for name in MODEL_FEATURES:
            features.append(at.label(name))
            inputs.extend(columns_of(at.label(name)))
        if use_smc:
            features.append(at.label("smc"))
            inputs.extend(at.label(name) for name in STRUCTURE_INPUTS)
    return tuple(features), tuple(inputs)
