"""
Models: from features at a close to a calibrated probability that the price rises.

    artefact record   weights and where they come from, as one value of bytes
    kinds             the table of kinds, and the one kernel that runs them
    logistic          the smallest real model        functions   exp and sigmoid, the same bits everywhere
    current recent    the model in force, its state and the swap; the newest rows, with which it is warmed up
    labels fit        what is learnt, from which rows, and how the logistic model learns it
"""

from typing import Final

from engine.model.artefact import Artefact, read_artefact, with_version, write_artefact
from engine.model.fit import LogisticFit, fit_logistic
from engine.model.kinds import KINDS
from engine.model.record import ModelRecord

# What models read unless told otherwise: none of them grows with the price.
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

__all__ = [
    "KINDS",
    "MODEL_FEATURES",
    "Artefact",
    "LogisticFit",
    "ModelRecord",
    "fit_logistic",
    "read_artefact",
    "with_version",
    "write_artefact",
]
