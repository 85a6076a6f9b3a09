"""The configuration of a walk-forward's account: what was chosen of all and of each symbol, where it takes over."""

from papertape.engine.candles import DAY_MS
from papertape.replay.config import make_config
from papertape.replay.research.walkforward.account import account_configuration
from papertape.replay.research.walkforward.windows import Window

START_MS = 1_577_836_800_000  # 2020-01-01


def test_choices_of_a_symbol_change_that_symbol_alone() -> None:
    strategy = {
        "name": "ema_cross",
        "parameters": {"slow": 40},
        "symbols": {"A": {"allow_short": True}, "B": {"fast": 3}},
    }
    days = [START_MS + DAY_MS * n for n in (0, 10, 20, 30)]
    windows = [Window(n, days[n], days[n + 1], days[n + 1], days[n + 2]) for n in range(2)]
    chosen = [
        {"strategy.parameters.fast": fast, "strategy.symbols.A.slow": slow}
        for fast, slow in ((5, 20), (6, 30))
    ]

    made = account_configuration(make_config({"strategy": strategy}), windows, chosen, "carry").strategy
    (later,) = made.schedule

    assert made.parameters_in() == {"slow": 40, "fast": 5}
    assert made.parameters_in(None, "A") == {"slow": 20, "fast": 5, "allow_short": True}
    assert made.parameters_in(None, "B") == {"slow": 40, "fast": 3}
    assert made.parameters_in(later) == {"slow": 40, "fast": 6}
    assert made.parameters_in(later, "A") == {"slow": 30, "fast": 6, "allow_short": True}
    assert made.parameters_in(later, "B") == {"slow": 40, "fast": 3}
