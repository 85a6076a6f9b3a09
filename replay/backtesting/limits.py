"""What the limits of an account did in a run: how often each was met, when, and until when it locked."""

from collections import Counter as Counts
from typing import Any, Final

from papertape.engine.jit import Rows
from papertape.engine.records import LIMIT_NAMES, UNTIL_RESUMED

_NEWEST: Final = 500


def limits_section(limits: Rows) -> dict[str, Any]:
    """Return what result.json holds of LIMIT_EVENT records: counts, and the newest, oldest first; nothing without any."""
    if not len(limits):
        return {}
    names = [LIMIT_NAMES[code] for code in limits["limit"].tolist()]
    newest = [
        {
            "time_ms": int(row["time_ms"]),
            "limit": LIMIT_NAMES[int(row["limit"])],
            "value": float(row["value"]),
            "threshold": float(row["threshold"]),
            "until_ms": None if row["until_ms"] == UNTIL_RESUMED else int(row["until_ms"]),
        }
        for row in limits[-_NEWEST:]
    ]
    return {"limits": {"counts": dict(Counts(names).most_common()), "newest": newest}}
