"""The batch package `smartmoneyconcepts`, the oracle of the compatibility module, and the recorded series it was run on."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from papertape.engine.candles import CANDLE
from papertape.engine.jit import Rows
from papertape.replay.tapes.tables import candle_frame

# The package prints an advertisement on import unless it is told not to.
os.environ.setdefault("SMC_CREDIT", "0")
from smartmoneyconcepts.smc import smc

FOLDER = Path(__file__).resolve().parents[3] / "shared/data/smc"
STEP_MS = 15 * 60_000


def recorded_candles(name: str) -> Rows:
    """Return `EURUSD_15M` or `SYNTH_A_15M`; their stamps are read as UTC."""
    table = pd.read_csv(FOLDER / f"{name}.csv").rename(columns=str.lower)
    stamps = pd.to_datetime(table["date"].str.replace(".", "-"))
    candles = np.zeros(len(table), CANDLE)
    candles["open_ms"] = stamps.to_numpy("datetime64[ms]").astype(np.int64)
    for column in ("open", "high", "low", "close", "volume"):
        candles[column] = table[column]
    return candles


def recorded_result(name: str) -> pd.DataFrame:
    """Return a recorded result file."""
    return pd.read_csv(FOLDER / f"{name}.csv")


class Package:
    """The package on one series, with the swings that its other functions ask for."""

    def __init__(self, candles: Rows, swing_length: int) -> None:
        frame = candle_frame(candles)
        self.by_time = frame.tz_localize(None)
        self.frame = frame.reset_index(drop=True)
        self.swings = smc.swing_highs_lows(self.frame, swing_length=swing_length)

    def all(self, **options: Any) -> dict[str, pd.DataFrame]:
        """Return every table that depends on rows alone, by name."""
        return {
            "fvg": smc.fvg(self.frame),
            "fvg joined": smc.fvg(self.frame, join_consecutive=True),
            "swings": self.swings,
            "bos_choch": smc.bos_choch(self.frame, self.swings, close_break=options.get("close_break", True)),
            "ob": smc.ob(self.frame, self.swings, close_mitigation=options.get("close_mitigation", False)),
            "liquidity": smc.liquidity(self.frame, self.swings),
            "retracements": smc.retracements(self.frame, self.swings),
        }

    def previous(self, period: str) -> pd.DataFrame:
        """Return the levels of the period before."""
        return smc.previous_high_low(self.by_time, time_frame=period)

    def session(self, name: str, time_zone: str = "UTC") -> pd.DataFrame:
        """Return one session."""
        return smc.sessions(self.by_time.copy(), name, time_zone=time_zone)
