"""Groups of symbols with a cap on all of them: by hand, shared out pro rata, and whatever the names are."""

import pytest

from papertape.engine.broker.risk.groups import SymbolGroup
from papertape.engine.broker.risk.limits import Limits
from papertape.engine.errors import ConfigError
from papertape.engine.records import LONG, REFUSED_GROUP, SHORT
from papertape.engine.spec import Settings
from papertape.engine.strategies import Decision
from tests.support.helpers import FREE, make_candles
from tests.support.portfolios import Portfolio, run

PERPETUAL = {**FREE, "is_perpetual": True}
SYMBOLS = ("A", "B", "C")


def portfolio(limits: Limits, sides: dict[str, int], first: str = "", **settings: float) -> Portfolio:
    """Return symbols at 100 that are wanted with all of equity each, `first` a candle before the others."""
    script = {
        (symbol, k): Decision(side)
        for symbol, side in sides.items()
        for k in range(0 if symbol == first else 1, 3)
    }
    account = Settings(
        "fraction", **{"fixed_fraction": 1.0, "cash_share": 1.0, "leverage_cap": 10.0, **settings}
    )  # type: ignore[arg-type]
    tapes = {symbol: make_candles([(100.0, 100.0, 100.0, 100.0)] * 4) for symbol in sides}
    return Portfolio(tapes, dict.fromkeys(sides, PERPETUAL), account, script, limits=limits)


@pytest.mark.parametrize(
    ("groups", "first", "notionals"),
    [
        # Each wants 10,000. A and B share 0.8 × 10,000 pro rata; C is in no group.
        (((("A", "B"), 0.8),), "", {"A": 4_000, "B": 4_000, "C": 10_000}),
        # A group of its own cuts one alone, another the rest; neither takes from the other.
        (((("A",), 0.3), (("B", "C"), 0.5)), "", {"A": 3_000, "B": 2_500, "C": 2_500}),
        # Wide enough for both.
        (((("A", "B"), 2.0),), "", {"A": 10_000, "B": 10_000, "C": 10_000}),
        # What A holds already is not there for B; a short counts as a long does.
        (((("A", "B"), 1.2),), "A", {"A": 10_000, "B": 2_000, "C": 10_000}),
        (((("A", "B", "C"), 1.0),), "A", {"A": 10_000, "B": 0, "C": 0}),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_what_a_group_leaves_is_shared_out(
    groups: tuple[tuple[tuple[str, ...], float], ...], first: str, notionals: dict[str, int], turned: bool
) -> None:
    names = dict(zip(SYMBOLS, reversed(SYMBOLS) if turned else SYMBOLS, strict=True))
    limits = Limits(groups=tuple(SymbolGroup(tuple(names[s] for s in of), cap) for of, cap in groups))

    told, _ = run(portfolio(limits, {"A": LONG, "B": SHORT, "C": LONG}, first), names)

    for number, symbol in enumerate(SYMBOLS):
        of = told.fills[told.fills["symbol"] == number]["notional"]
        assert of.sum() == pytest.approx(notionals[symbol] * 10**9, rel=1e-12)
        if not notionals[symbol]:
            refused = told.decisions[told.decisions["symbol"] == number]["refused"]
            assert refused.tolist() == [0, REFUSED_GROUP]


def test_what_a_group_takes_away_is_there_for_others() -> None:
    """Buying power for 15,000: A and B are cut to 2,000 together first, and C has all that it wants."""
    limits = Limits(groups=(SymbolGroup(("A", "B"), 0.2),))

    told, _ = run(portfolio(limits, dict.fromkeys(SYMBOLS, LONG), leverage_cap=1.5))

    expected = [1_000 * 10**9, 1_000 * 10**9, 10_000 * 10**9]
    assert told.fills["notional"].tolist() == pytest.approx(expected, rel=1e-12)


def test_a_member_that_no_market_has_is_refused() -> None:
    limits = Limits(groups=(SymbolGroup(("A", "BTCUSD"), 0.2),))

    with pytest.raises(
        ConfigError, match=r"limits\.groups: no tape or symbol has the name 'BTCUSD': choose one of A, B, C"
    ):
        run(portfolio(limits, dict.fromkeys(SYMBOLS, LONG)))
