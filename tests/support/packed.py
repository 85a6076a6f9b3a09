"""What a report packs, decoded as its page does."""

import base64
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from papertape.engine.jit import FloatArray, IntArray


def unpack_integers(text: str) -> IntArray:
    """Return what `pack_integers` packed."""
    width = int(text[0])
    planes = np.frombuffer(zlib.decompress(base64.b64decode(text[1:])), np.uint8)
    words = np.ascontiguousarray(planes.reshape(width, -1).T)
    return words.view(f"<i{width}").reshape(-1).astype(np.int64)


def unpack_candles(packed: Mapping[str, Any]) -> dict[str, FloatArray]:
    """Return time in seconds and prices as the page decodes them."""
    unit = 10.0 ** packed["decimals"]
    part = {
        name: unpack_integers(packed[name])
        for name in ("time", "open", "close", "high", "low", "volume", "volume_power")
    }
    close = np.cumsum(part["open"] + part["close"]) + packed["first_open"]
    opens = close - part["close"]
    return {
        "time": (np.cumsum(part["time"]) + packed["first"]).astype(np.float64),
        "open": opens / unit,
        "high": (np.maximum(opens, close) + part["high"]) / unit,
        "low": (np.minimum(opens, close) - part["low"]) / unit,
        "close": close / unit,
        "volume": part["volume"] * 10.0 ** part["volume_power"],
    }


def unpack_steps(packed: Mapping[str, Any]) -> IntArray:
    """Return what `pack_steps` packed."""
    found: IntArray = packed["first"] + np.cumsum(unpack_integers(packed["steps"]))
    return found


def unpack_floats(packed: Mapping[str, Any]) -> FloatArray:
    """Return what `pack_floats` packed."""
    power = unpack_integers(packed["power"])
    values = unpack_integers(packed["digits"]) * 10.0 ** power.astype(np.float64)
    return np.where(power == 127, np.nan, values)
