"""Limits on losses and exposure: by hand, by a second account of the marks, and the same in every batching and restart."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from papertape.engine.broker.risk.limits import Limits
from papertape.engine.broker.working.orders import BY_LIMIT, CANCELLED, REFUSED
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.events import OF_PAUSES, Action, Command
from papertape.engine.jit import Rows
from papertape.engine.records import (
    FLAT,
    LONG,
    REASON_DAILY_LOSS,
    REASON_DRAWDOWN,
    REASON_ENTRY,
    REASON_ENTRY_BY_ORDER,
    REFUSED_DAILY_LOSS,
    REFUSED_DRAWDOWN,
    REFUSED_EXPOSURE,
    REFUSED_LOSSES,
    SHORT,
    UNTIL_RESUMED,
)
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from tests.support.every_order import EveryOrder
from tests.support.helpers import (
    FREE,
    START_MS,
    Outcome,
    Scripted,
    interleave,
    make_candles,
    random_candles,
    run_all,
    run_script,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
PERPETUAL = {**FREE, "is_perpetual": True}


def bars(*prices: float) -> Rows:
    return make_candles([(p, p, p, p) for p in prices])


def always(side: int, n: int) -> dict[int, Decision]:
    return dict.fromkeys(range(n), Decision(side))


def met(outcome: Outcome) -> list[tuple[int, int, int]]:
    """Return (limit, number of the candle at whose close it was met, hours until the end of the lock)."""
    return [
        (
            int(e.limit),
            (int(e.time_ms) - START_MS) // HOUR_MS - 1,
            (int(e.until_ms) - int(e.time_ms)) // HOUR_MS,
        )
        for e in outcome.limits
    ]


def test_a_day_that_lost_enough_is_over() -> None:
    # 100 units from the open of candle 1 at 100; 9,700 at the close of candle 2 is 3 % less than 10,000.
    prices = [100.0, 100.0, 97.0, 96.0] + [96.0] * 20 + [96.0, 93.0, 93.2, 93.0, 93.0]

    outcome = run_script(bars(*prices), always(LONG, 29), limits=Limits(daily_loss=0.03))

    # Closed at the next open, 96, and entered again at the open of candle 24, the first of 2 January, with 9,600:
    # 100 units at 96. At 93 of candle 25 the second day has lost 300 of 9,600, 3.125 %.
    assert met(outcome) == [(REFUSED_DAILY_LOSS, 2, 21), (REFUSED_DAILY_LOSS, 25, 22)]
    assert outcome.limits["value"].tolist() == [0.03, 0.03125]
    assert [
        ((int(f.candle_ms) - START_MS) // HOUR_MS, int(f.reason), float(f.price)) for f in outcome.fills
    ] == [
        (1, REASON_ENTRY, 100.0),
        (3, REASON_DAILY_LOSS, 96.0),
        (24, REASON_ENTRY, 96.0),
        (26, REASON_DAILY_LOSS, 93.2),
    ]
    refused = outcome.decisions["refused"].tolist()
    assert set(refused) == {0, REFUSED_DAILY_LOSS}  # said once a lock, not at every candle
    assert len(refused) < 8


@pytest.mark.parametrize("price", [97.0 + 1e-6, 98.0])
def test_a_smaller_loss_goes_on(price: float) -> None:
    outcome = run_script(bars(100, 100, price, price), always(LONG, 4), limits=Limits(daily_loss=0.03))

    assert not len(outcome.limits)
    assert len(outcome.fills) == 1


def test_the_last_close_of_a_day_counts_for_that_day_and_locks_nothing_after_it() -> None:
    prices = [100.0] * 23 + [96.0, 96.0, 96.0, 96.0]  # candle 23 ends at midnight

    outcome = run_script(bars(*prices), always(LONG, 27), limits=Limits(daily_loss=0.03))

    assert met(outcome) == [(REFUSED_DAILY_LOSS, 23, 0)]
    # Flat at the open of 24, entered again by the decision at its close.
    assert [(int(f.candle_ms) - START_MS) // HOUR_MS for f in outcome.fills] == [1, 24, 25]


@pytest.mark.parametrize(("days", "again"), [(0.0, None), (0.125, 6)])
def test_a_drawdown_is_measured_from_the_highest_close(days: float, again: int | None) -> None:
    # 100 units: 11,000 at 110, 9,900 at 99 is a tenth less; a lock of three hours ends with the close of candle 6.
    prices = [100.0, 100.0, 110.0, 99.0, 98.0, 98.0, 98.0, 98.0, 98.0]
    limits = Limits(drawdown=0.1, drawdown_lock_days=days)

    outcome = run_script(bars(*prices), always(LONG, 9), limits=limits)

    assert outcome.limits["limit"].tolist() == [REFUSED_DRAWDOWN]
    assert outcome.limits["value"].tolist() == [0.1]
    assert outcome.trades["exit_reason"].tolist() == [REASON_DRAWDOWN]
    assert outcome.trades["exit_price"].tolist() == [98.0]
    if again is None:
        assert outcome.limits["until_ms"].tolist() == [UNTIL_RESUMED]
        assert len(outcome.fills) == 2
    else:
        assert met(outcome) == [(REFUSED_DRAWDOWN, 3, 3)]
        assert (int(outcome.fills[2].candle_ms) - START_MS) // HOUR_MS == again + 1
        # From there on 9,800 is the highest: nothing is met again.
        assert outcome.engine.account[0].peak_equity == 9_800 * 10**9


def test_an_operator_ends_a_lock_and_everything_begins_anew() -> None:
    candles = bars(100, 100, 80, 80, 80, 80, 80, 73)
    spec = EngineSpec(
        [Market("X", **PERPETUAL)],
        Scripted(always(LONG, 8)),
        "1h",
        "1h",
        settings=Settings("all_in", cash_share=1.0),
        limits=Limits(drawdown=0.1, daily_loss=0.1),
    )
    engine = Engine(spec)
    reports = [engine.step(candles[:5]), engine.step(Command(Action.RESUME)), engine.step(candles[5:])]

    outcome = Outcome(engine, reports)

    # Both limits lie at 9,000; the drawdown is named. Closed at 80 with 8,000: 100 units at the open of candle 6.
    # 7,300 is 8.75 % less than 8,000, which is where day and highest close began anew.
    assert outcome.limits["limit"].tolist() == [REFUSED_DRAWDOWN]
    assert outcome.fills["price"].tolist() == [100.0, 80.0, 80.0]
    assert outcome.marks[-1].equity == 7_300 * 10**9


def test_a_resume_that_no_operator_said_ends_no_lock() -> None:
    """The end of a warm-up and the watch on a model resume what they paused; a limit is not theirs."""
    engine = every_order()
    rows = iter(range(0, len(CANDLES), 2))
    while not engine.account[0].locked_by:
        start = next(rows)
        engine.step(CANDLES[start : start + 2])
    locked = engine.account.copy()

    engine.step(Command(Action.RESUME, OF_PAUSES))

    assert engine.account.tobytes() == locked.tobytes()


def test_losses_in_a_row_lock_entries_and_leave_positions() -> None:
    sides = (LONG, FLAT, LONG, FLAT, LONG, FLAT, LONG, LONG, LONG, LONG, LONG)
    prices = (100, 100, 99, 99, 98, 98, 97, 97, 97, 97, 97, 97)
    decisions = {candle: Decision(side) for candle, side in enumerate(sides)}

    outcome = run_script(bars(*prices), decisions, limits=Limits(losses=3, losses_lock_hours=3.0))

    # The third loss in a row is closed at the open of candle 6 and known at its close.
    assert (outcome.trades["pnl"] < 0).all()
    assert met(outcome) == [(REFUSED_LOSSES, 6, 3)]
    assert outcome.limits["value"].tolist() == [3.0]
    # Asked at the closes of 6, 7, 8: refused; at that of 9 the lock is over.
    assert (int(outcome.fills[-1].candle_ms) - START_MS) // HOUR_MS == 10
    assert outcome.decisions["refused"].tolist().count(REFUSED_LOSSES) == 1


def test_a_gain_between_losses_begins_the_count_anew() -> None:
    sides = (LONG, FLAT, LONG, FLAT, LONG, FLAT)
    decisions = {candle: Decision(side) for candle, side in enumerate(sides)}

    outcome = run_script(bars(100, 100, 99, 99, 101, 101, 100, 100), decisions, limits=Limits(losses=2))

    assert np.sign(outcome.trades["pnl"]).tolist() == [-1, 1, -1]
    assert not len(outcome.limits)


@pytest.mark.parametrize(
    ("limits", "side", "notional"),
    [
        (Limits(position=0.25), LONG, 2_500.0),
        (Limits(gross=0.5), LONG, 5_000.0),
        (Limits(net=0.3), SHORT, 3_000.0),
        (Limits(position=0.25, gross=0.1), SHORT, 1_000.0),
        (Limits(position=7.0, gross=9.0, net=9.0), LONG, 20_000.0),  # twice, by leverage
    ],
)
def test_exposure_is_cut_to_its_limit(limits: Limits, side: int, notional: float) -> None:
    outcome = run_script(
        bars(100, 100, 100), always(side, 3), market=PERPETUAL, leverage_cap=2.0, limits=limits
    )

    assert outcome.fills["notional"].tolist() == [notional * 10**9]


class Ladder:
    """Buys 40 units at 99 and 40 at 98."""

    features = ()

    def decide(self, view: Any) -> None:
        if not view.orders and not view.position:
            view.buy(40.0, limit=99.0)
            view.buy(40.0, limit=98.0)


def test_what_one_order_has_taken_of_a_limit_in_a_candle_is_not_there_for_the_next() -> None:
    candles = make_candles([(100.0, 100.0, 100.0, 100.0)] * 2 + [(100.0, 100.0, 97.0, 97.0)])
    spec = EngineSpec(
        [Market("X", **PERPETUAL)],
        Ladder(),
        "1h",
        "1h",
        settings=Settings("all_in", cash_share=1.0),
        limits=Limits(position=0.5),
    )

    outcome = run_all(Engine(spec), candles)

    # 3,960 of 5,000 are held after the first; 1,040 are left for the second.
    assert outcome.fills["quantity"].tolist() == pytest.approx([40.0, 1_040.0 / 98.0])


def portfolio(sides: dict[str, int], limits: Limits, **settings: Any) -> Outcome:
    """Return what a portfolio of perpetuals at 100 that all enter at once comes to."""

    class BySymbol:
        features = ()

        def decide(self, view: Any) -> Decision | None:
            return Decision(sides[view.symbol])

    markets = [Market(symbol, **PERPETUAL) for symbol in sides]
    account = Settings(**{"sizing": "fraction", "fixed_fraction": 1.0, "leverage_cap": 10.0, **settings})
    spec = EngineSpec(markets, BySymbol(), "1h", "1h", settings=account, limits=limits)
    return run_all(Engine(spec), interleave([bars(100, 100, 100)] * len(sides)))


@pytest.mark.parametrize(
    ("sides", "limits", "notionals"),
    [
        # Each wants 10,000; 15,000 of gross are shared out pro rata.
        ({"A": LONG, "B": SHORT}, Limits(gross=1.5), (7_500, 7_500)),
        # A position's limit is its own: three of them leave room for each other.
        ({"A": LONG, "B": LONG, "C": SHORT}, Limits(position=0.4, gross=2.0), (4_000, 4_000, 4_000)),
        ({"A": LONG, "B": LONG}, Limits(net=1.0), (5_000, 5_000)),
    ],
)
def test_what_is_left_is_shared_out(
    sides: dict[str, int], limits: Limits, notionals: tuple[int, ...]
) -> None:
    outcome = portfolio(sides, limits)
    renamed = portfolio({"Z" + name: sides[name] for name in reversed(sides)}, limits)

    expected = [notional * 10**9 for notional in notionals]
    assert outcome.fills["notional"].tolist() == pytest.approx(expected, rel=1e-12)
    assert renamed.fills["notional"].tolist() == pytest.approx(expected, rel=1e-12)


def test_where_nothing_is_left_the_limit_is_named() -> None:
    candles = interleave([bars(100, 100, 100, 100)] * 2)
    spec = EngineSpec(
        [Market(name, **PERPETUAL, minimum_size=1.0) for name in "AB"],
        OneByOne(),
        "1h",
        "1h",
        settings=Settings("fraction", fixed_fraction=1.0, leverage_cap=5.0),
        limits=Limits(gross=1.0),
    )

    outcome = run_all(Engine(spec), candles)

    assert outcome.fills["symbol"].tolist() == [0]
    assert outcome.decisions["refused"].tolist()[-1] == REFUSED_EXPOSURE


class OneByOne:
    """Holds A from the first close on, and B from the second on."""

    features = ()

    def decide(self, view: Any) -> Decision | None:
        number = (view.time_ms - START_MS) // HOUR_MS
        return Decision(LONG) if view.symbol == "A" or number > 1 else None


LIMITS = Limits(
    daily_loss=0.01,
    drawdown=0.04,
    drawdown_lock_days=1.5,
    losses=2,
    losses_lock_hours=5.0,
    position=0.8,
    gross=1.2,
    net=0.9,
)
N = 1_600


def every_order(limits: Limits = LIMITS, names: tuple[str, ...] = ("AAA", "BBB")) -> Engine:
    """Return an engine whose strategy places every kind of order, base candles of a quarter of its own."""
    markets = [Market(name, is_perpetual=True, tick_size=0.01, lot_size=0.001) for name in names]
    account = Settings("risk", 0.02, leverage_cap=3.0)
    return Engine(EngineSpec(markets, EveryOrder(), "1h", "15m", settings=account, limits=limits))


CANDLES = interleave([random_candles(N, seed=50 + s, timeframe="15m") for s in range(2)])


def by_hand(
    outcome: Outcome, limits: Limits, capital: int = 10_000 * 10**9
) -> Iterator[tuple[int, int, int]]:
    """Yield (limit, close, end of the lock) as they follow from marks and trades alone, in whole numbers."""
    closed: dict[int, list[int]] = {}
    for trade in outcome.trades:
        closed.setdefault(int(trade.exit_ms), []).append(int(trade.pnl))
    length = 15 * 60_000
    day, day_equity, last, peak, losses = None, capital, capital, capital, 0
    locked, until = 0, 0
    for mark in outcome.marks:
        close, worth = int(mark.time_ms), int(mark.equity)
        if (close - length) // DAY_MS != day:
            day, day_equity = (close - length) // DAY_MS, last
        last, peak = worth, max(peak, worth)
        pnls = closed.get(close - length, [])
        losses = (0 if any(pnl > 0 for pnl in pnls) else losses) + sum(pnl < 0 for pnl in pnls)
        is_told = locked == REFUSED_DAILY_LOSS and close == until == (day or 0) * DAY_MS + DAY_MS
        if locked and close >= until:
            peak = worth if locked == REFUSED_DRAWDOWN else peak
            locked = 0
        if losses >= limits.losses:
            losses = 0
            yield REFUSED_LOSSES, close, close + round(limits.losses_lock_hours * HOUR_MS)
        if locked:
            continue
        assert day is not None
        if 100 * (peak - worth) >= round(100 * limits.drawdown) * peak:
            locked, until = REFUSED_DRAWDOWN, close + round(limits.drawdown_lock_days * DAY_MS)
        elif 100 * (day_equity - worth) >= round(100 * limits.daily_loss) * day_equity and not is_told:
            locked, until = REFUSED_DAILY_LOSS, (day + 1) * DAY_MS
        else:
            continue
        yield locked, close, until


def test_a_second_account_of_the_marks_meets_the_same_limits() -> None:
    outcome = run_all(every_order(), CANDLES)

    found = [(int(e.limit), int(e.time_ms), int(e.until_ms)) for e in outcome.limits]
    assert found == list(by_hand(outcome, LIMITS))
    assert {limit for limit, _, _ in found} == {REFUSED_DAILY_LOSS, REFUSED_DRAWDOWN, REFUSED_LOSSES}


def test_nothing_is_opened_while_a_lock_lasts_and_all_is_closed_at_once() -> None:
    outcome = run_all(every_order(), CANDLES)
    opened = np.isin(outcome.fills["reason"], (REASON_ENTRY, REASON_ENTRY_BY_ORDER))
    for event in outcome.limits:
        within = (outcome.fills["candle_ms"] >= event.time_ms) & (outcome.fills["candle_ms"] < event.until_ms)
        assert not (opened & within).any()
        if event.limit != REFUSED_LOSSES and event.until_ms > event.time_ms:
            after = outcome.marks[outcome.marks["time_ms"] > event.time_ms]
            assert after[0].open_positions == 0
    ended = outcome.orders[outcome.orders["cause"] == BY_LIMIT]
    assert (ended["status"] == CANCELLED).all()
    assert len(ended) > 5
    refused = outcome.orders[outcome.orders["status"] == REFUSED]["cause"]
    assert np.isin(refused, (REFUSED_DAILY_LOSS, REFUSED_DRAWDOWN, REFUSED_LOSSES)).any()


def test_exposure_after_an_entry_is_within_its_limits() -> None:
    limits = Limits(position=0.5, gross=0.7, net=0.4)
    loose, outcome = run_all(every_order(Limits()), CANDLES), run_all(every_order(limits), CANDLES)
    assert loose.marks["exposure"].max() > 1.5 * outcome.marks["exposure"].max()

    share = np.abs(outcome.fills["position"] * outcome.fills["price"]) * 1e9
    equity = dict(zip(outcome.marks["time_ms"].tolist(), outcome.marks["equity"].tolist(), strict=True))
    opened = np.isin(outcome.fills["reason"], (REASON_ENTRY, REASON_ENTRY_BY_ORDER))
    for fill, notional in zip(outcome.fills[opened], share[opened], strict=True):
        worth = equity.get(int(fill.candle_ms), 10_000 * 10**9)  # at the close before, 2 % to move
        assert notional <= 0.5 * worth * 1.02
    marked = outcome.marks[1:]
    assert (marked["exposure"] <= 0.7 * marked["equity"] * 1.05).all()  # prices move on


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_change_nothing(batch: int) -> None:
    whole, parts = every_order(), every_order()
    one, two = run_all(whole, CANDLES), run_all(parts, CANDLES, 2 * batch)

    assert whole.digest == parts.digest
    assert one.limits.tobytes() == two.limits.tobytes()
    assert whole.snapshot() == parts.snapshot()


def test_a_restart_at_any_candle_forgets_no_lock() -> None:
    whole = every_order()
    run_all(whole, CANDLES)
    moving = every_order()
    for start in range(0, len(CANDLES), 26):
        moving.step(CANDLES[start : start + 26])
        again = every_order()
        again.restore(moving.snapshot())
        moving = again

    assert moving.digest == whole.digest
    assert moving.snapshot() == whole.snapshot()


def test_other_names_meet_the_same_limits() -> None:
    swapped = CANDLES.reshape(-1, 2)[:, ::-1].copy()
    swapped["symbol"] = [0, 1]

    one = run_all(every_order(), CANDLES)
    two = run_all(every_order(names=("XXX", "YYY")), swapped.reshape(-1))

    for name in ("limit", "time_ms", "value", "until_ms"):
        assert one.limits[name].tolist() == two.limits[name].tolist()


def test_the_digest_says_that_limits_were_met_and_nothing_where_none_were() -> None:
    far = Limits(daily_loss=0.9, drawdown=0.9, losses=9_999, position=900.0, gross=900.0, net=900.0)
    without, within, beyond = every_order(Limits()), every_order(far), every_order()
    for engine in (without, within, beyond):
        engine.step(CANDLES)

    assert without.digest == within.digest != beyond.digest


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"daily_loss": -0.1}, "limits: daily_loss -0.1 is not at least 0"),
        ({"daily_loss": float("nan")}, "limits: daily_loss nan is not"),
        ({"drawdown": 1.0}, "limits: drawdown 1.0 is not below 1"),
        ({"losses": -1}, "limits: losses -1 is not at least 0"),
        ({"losses_lock_hours": 0.0}, "limits: losses_lock_hours 0.0 is not above 0"),
        ({"gross": float("inf")}, "limits: gross inf is not at most 1000"),
    ],
)
def test_what_is_no_limit_is_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        Limits(**values)  # type: ignore[arg-type]


def test_the_first_close_after_a_lock_is_looked_at_as_any_other() -> None:
    # 9,600 at the last close of 1 January ends that day; closed at 96 at midnight's open nothing more is lost there. One unit
    # in a hundred is lost at once where the open itself falls: 9,000 at 90 is 6.25 % of 9,600, at the first close of the day.
    prices = [100.0] * 23 + [96.0, 90.0, 90.0, 90.0]

    outcome = run_script(bars(*prices), always(LONG, 27), limits=Limits(daily_loss=0.03))

    assert met(outcome) == [(REFUSED_DAILY_LOSS, 23, 0), (REFUSED_DAILY_LOSS, 24, 23)]
    assert [(int(f.candle_ms) - START_MS) // HOUR_MS for f in outcome.fills] == [1, 24]


def test_a_lock_by_losses_goes_on_after_the_day_that_covered_it() -> None:
    # Long at 100, flat at 98.5 of candle 2, one loss: locked for 40 hours, until the close of candle 41. That day has lost
    # 1.5 % by then: the day's lock covers it until midnight, and what the losses locked goes on.
    prices = [100.0, 100.0, 98.5] + [98.5] * 42
    script = {0: Decision(LONG), 1: Decision(FLAT), **always(LONG, 45)}
    script[1] = Decision(FLAT)
    limits = Limits(daily_loss=0.01, losses=1, losses_lock_hours=40.0)

    outcome = run_script(bars(*prices), script, limits=limits)

    assert met(outcome) == [(REFUSED_LOSSES, 2, 40), (REFUSED_DAILY_LOSS, 2, 21)]
    # The lock ends with the close of candle 42, whose decision fills at the open of 43.
    assert [(int(f.candle_ms) - START_MS) // HOUR_MS for f in outcome.fills] == [1, 2, 43]
