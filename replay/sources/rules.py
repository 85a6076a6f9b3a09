"""
What a venue's history must be before anyone uses it: on the grid, finite, consistent, in order, once.

What breaks a rule is dropped and counted; nothing is mended and nothing is invented here.
"""

from collections import Counter
from typing import Any

import numpy as np

from papertape.engine.candles import FLAG_FILLED, WEEK_MS
from papertape.engine.jit import Rows
from papertape.replay.tapes.raw import PRICES


def good_rows(rows: Rows, length_ms: int, counts: Counter[str], *, is_traded: bool = True) -> Rows:
    """
    Return the CANDLE rows that keep the rules, in time order, one per stamp: the first that was given.

    is_traded  prices and padding are those of trades; otherwise any finite value is a price
    counts     gains why rows were dropped: `misaligned`, `null`, `invalid`, `duplicate`; and `filled`, which stay

    Flat candles without volume are the venue's filling for buckets without a trade; they are flagged so.
    """
    rows = rows[_keeps_rules(rows, length_ms, counts, is_traded)]
    rows = rows[np.argsort(rows["open_ms"], kind="stable")]
    is_first = np.ones(len(rows), dtype=np.bool_)
    is_first[1:] = np.diff(rows["open_ms"]) != 0
    counts["duplicate"] += int((~is_first).sum())
    rows = np.ascontiguousarray(rows[is_first])
    if is_traded:
        is_flat = (rows["volume"] == 0.0) & (rows["high"] == rows["low"])
        rows["flag_bits"][is_flat] |= FLAG_FILLED
        counts["filled"] += int(is_flat.sum())
    return rows


def _keeps_rules(rows: Rows, length_ms: int, counts: Counter[str], is_traded: bool) -> Any:
    """Return which rows keep the rules; a dropped row is counted once, under the first rule that it breaks."""
    is_off = rows["open_ms"] % length_ms != 0
    if length_ms == WEEK_MS:
        is_off[:] = False  # nobody knows on which day a venue's weeks begin
    is_null = np.zeros(len(rows), dtype=np.bool_)
    for name in PRICES:
        is_null |= ~np.isfinite(rows[name])
    with np.errstate(invalid="ignore"):
        is_wrong = (rows["high"] < np.maximum(rows["open"], rows["close"])) | (
            rows["low"] > np.minimum(rows["open"], rows["close"])
        )
        if is_traded:
            is_wrong |= (rows["low"] <= 0.0) | (rows["volume"] < 0.0)
    is_good = np.ones(len(rows), dtype=np.bool_)
    for name, rule in (("misaligned", is_off), ("null", is_null), ("invalid", is_wrong)):
        counts[name] += int((is_good & rule).sum())
        is_good &= ~rule
    return is_good
