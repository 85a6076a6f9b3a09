"""How much a model learns from and is judged by on a tape that is too short, or long enough for more, than the defaults."""

from typing import Any, Final

from papertape.engine.candles import timeframe_ms
from papertape.replay.config.learning import Learning
from papertape.replay.learning.feasible import days_of, least_closes
from papertape.replay.learning.settings import DAY_MS

_LONG_DAYS: Final = 700.0  # from here on four-hour candles have years to learn from
_WHOLE_DAYS: Final = 240.0  # from here on the defaults leave months to judge a recipe by
_CADENCE_HORIZONS: Final = 2
_WINDOW_TIMES: Final = 2
_HOURS_4_MS: Final = timeframe_ms("4h")


def fitted_windows(learning: Learning, timeframe: str, days: float, n_symbols: int) -> dict[str, Any]:
    """
    Return changes of a configuration for a tape of so many days: long ones are retrained monthly, short ones as they allow.

    No window is shorter than twice the least that can train, for inputs and labels are missing in any, and no gate than the
    least that can judge, so a tape may be too short for both.

    >>> fitted_windows(Learning(horizon_bars=4), "1h", 90.0, 1)
    {'learning.window_days': 30.25, 'learning.gate_days': 15.0, 'signals.retrain_every': '6d'}
    """
    length_ms = timeframe_ms(timeframe)
    if days > _WHOLE_DAYS:
        is_long = days > _LONG_DAYS and length_ms >= _HOURS_4_MS
        window, gate, every = (365.0, 90.0, "monthly") if is_long else (90.0, 30.0, "monthly")
    else:
        window, gate = float(round(days / 3)), float(round(days / 6))
        # A recipe is judged on rows whose labels are known before the next retraining.
        judged = -(-_CADENCE_HORIZONS * learning.horizon_bars * length_ms // DAY_MS)
        every = f"{max(round(days / 15), judged, 1)}d"
    least = least_closes(learning, n_symbols)
    return {
        "learning.window_days": max(window, days_of(_WINDOW_TIMES * least.window, length_ms)),
        "learning.gate_days": max(gate, days_of(least.gate, length_ms)),
        "signals.retrain_every": every,
    }
