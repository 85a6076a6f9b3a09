"""Fees by hand: fixed, smallest, a tax on them, rebates, and rates that fall with what was traded."""

from typing import Any

import pytest

from papertape.engine.candles import DAY_MS
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError
from papertape.engine.records import LONG
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.replay.config import make_config
from papertape.replay.config.markets import market_of
from tests.support.helpers import FREE, START_MS, Outcome, Scripted, make_candles, run_all

FLAT_BAR = (100.0, 100.0, 100.0, 100.0)
TIERS = ((10_000.0, 0.0008, 0.0004), (40_000.0, 0.0005, -0.0001))


class Waits:
    """Buys 10 units with an order that waits at 99, and sells them at market a candle later."""

    features = ()

    def decide(self, view: Any) -> None:
        if not view.position and not view.orders:
            view.buy(10.0, limit=99.0)
        elif view.position:
            view.exit()


def run(
    strategy: Any, bars: list[Any], capital: float = 10_000.0, share: float = 0.5, **market: Any
) -> Outcome:
    spec = EngineSpec(
        [Market("X", **{**FREE, **market})],
        strategy,
        "1h",
        "1h",
        capital=capital,
        settings=Settings("fraction", fixed_fraction=share, cash_share=1.0),
    )
    return run_all(Engine(spec), make_candles(bars))


@pytest.mark.parametrize(
    ("fees", "paid"),
    [
        # 50 units at 100: a notional of 5,000 each way
        ({"taker_fee_rate": 0.001}, 5.0),
        ({"taker_fee_rate": 0.001, "fee_fixed": 1.5}, 6.5),
        ({"fee_fixed": 1.5}, 1.5),
        ({"taker_fee_rate": 0.001, "fee_minimum": 4.0}, 5.0),
        ({"taker_fee_rate": 0.001, "fee_minimum": 8.0}, 8.0),
        ({"taker_fee_rate": 0.001, "fee_fixed": 1.5, "fee_minimum": 8.0}, 8.0),
        # India's GST on fees: 18 % of them
        ({"taker_fee_rate": 0.0005, "fee_surcharge_rate": 0.18}, 2.95),
        ({"taker_fee_rate": 0.0005, "fee_minimum": 10.0, "fee_surcharge_rate": 0.18}, 11.8),
    ],
)
@pytest.mark.parametrize("is_perpetual", [False, True])
def test_what_a_fill_pays(fees: dict[str, float], paid: float, is_perpetual: bool) -> None:
    script = Scripted({0: Decision(LONG), 1: Decision(0)})

    outcome = run(script, [FLAT_BAR] * 4, is_perpetual=is_perpetual, **fees)

    assert (outcome.fills["fee"] * 1e-9).tolist() == pytest.approx([paid, paid], abs=1e-9)
    assert outcome.trades["pnl"].tolist() == [round(-2e9 * paid)]


@pytest.mark.parametrize(
    ("maker", "fees", "paid"),
    [
        (0.0002, {}, 0.198),  # of 990
        (-0.0001, {}, -0.099),
        # A rebate has neither smallest fee nor tax, and a fixed fee on top makes it one no more.
        (-0.0001, {"fee_minimum": 2.0, "fee_surcharge_rate": 0.18}, -0.099),
        (-0.0001, {"fee_fixed": 0.1, "fee_surcharge_rate": 0.5}, 0.0015),
    ],
)
def test_only_a_configured_rebate_is_below_zero(maker: float, fees: dict[str, float], paid: float) -> None:
    bars = [FLAT_BAR, (100.0, 100.0, 98.0, 99.0), (99.0,) * 4, (99.0,) * 4]

    outcome = run(Waits(), bars, maker_fee_rate=maker, **fees)

    assert float(outcome.fills["fee"][0]) * 1e-9 == pytest.approx(paid, abs=1e-9)
    assert (outcome.fills["fee"][1:] >= 0).all()


def test_a_fee_beside_the_rate_is_not_bought_on_credit() -> None:
    """1,000 all in at 100: (1,000 - 5 × 1.18) ÷ (1 + 0.001 × 1.18) is spent on units, the rest on fees."""
    fees = {"taker_fee_rate": 0.001, "fee_fixed": 5.0, "fee_surcharge_rate": 0.18}

    outcome = run(Scripted({0: Decision(LONG)}), [FLAT_BAR] * 2, 1_000.0, 1.0, **fees)

    (fill,) = outcome.fills
    assert fill.notional * 1e-9 == pytest.approx((1_000.0 - 5.9) / 1.00118, rel=1e-12)
    assert abs(int(fill.cash)) <= 10


def test_a_liquidation_pays_its_own_rate_and_nothing_else() -> None:
    fees = {"fee_fixed": 5.0, "fee_minimum": 20.0, "liquidation_fee_rate": 0.01}
    bars = [FLAT_BAR, FLAT_BAR, (100.0, 100.0, 80.0, 90.0)]

    outcome = run(Scripted({0: Decision(LONG)}), bars, is_perpetual=True, leverage=10.0, **fees)

    assert (outcome.fills["fee"] * 1e-9).tolist() == pytest.approx([20.0, 5_000.0 * 0.9 * 0.01])


class Daily:
    """Buys 50 units at the first close of a day and sells them an hour later."""

    features = ()

    def decide(self, view: Any) -> Decision | None:
        hour = view.time_ms % DAY_MS // 3_600_000
        return Decision({1: 1, 2: 0}.get(hour, 2))


class Until(Daily):
    """The same up to a time."""

    def __init__(self, until_ms: int) -> None:
        self.until_ms = until_ms

    def decide(self, view: Any) -> Decision | None:
        return super().decide(view) if view.time_ms < self.until_ms else None


def tiered(n_days: int, strategy: Any = None) -> tuple[Engine, Any]:
    spec = EngineSpec(
        [Market("X", **{**FREE, "taker_fee_rate": 0.001}, fee_tiers=TIERS)],
        strategy or Daily(),
        "1h",
        "1h",  # type: ignore[arg-type]
        settings=Settings("fraction", fixed_fraction=0.5),
    )
    return Engine(spec), make_candles([FLAT_BAR] * 24 * n_days)


def test_rates_are_those_of_the_thirty_days_before() -> None:
    """
    Day 0 trades 5,000 each way at the market's own 0.1 %, every later one a little less, as fees are gone.

    So from day 1 on (10,000 before it) 0.08 % is paid; four days are 39,946 and five 49,912, so from day 5 on 0.05 %.
    """
    engine, candles = tiered(34)
    outcome = run_all(engine, candles)

    day = (outcome.fills["candle_ms"] - START_MS) // DAY_MS
    rates = outcome.fills["fee"] / outcome.fills["notional"]
    by_day = [round(float(rates[day == each].mean()), 7) for each in range(34)]
    assert by_day == [0.001] + [0.0008] * 4 + [0.0005] * 29
    last = outcome.fills["notional"][(day >= 3) & (day < 33)].sum()
    assert int(engine.account[0].volume) == pytest.approx(last / 1_000, abs=60)


def test_what_is_no_longer_traded_leaves_the_thirty_days() -> None:
    """Days 0 to 5 trade, then an empty month: of day 31 five are left, of days 32 to 34 four to two, then one of 9,950."""
    engine, candles = tiered(40, Until(START_MS + 6 * DAY_MS))
    rates = []
    for start in range(0, len(candles), 24):
        engine.step(candles[start : start + 24])
        rates.append(float(engine.markets[0].taker_fee_rate))

    assert rates == [0.001] + [0.0008] * 4 + [0.0005] * 27 + [0.0008] * 3 + [0.001] * 5


def test_the_last_hour_of_a_day_pays_the_rate_of_its_day_however_long_the_batch_is() -> None:
    """Three fills of 5,000 are more than 10,000 before the day is over; 0.08 % is of the next one."""
    script = {0: Decision(LONG), 2: Decision(0), 4: Decision(LONG), 22: Decision(0), 24: Decision(LONG)}
    for batch in (1, 24, 48):
        engine, candles = tiered(2, Scripted(script))
        fills = run_all(engine, candles, batch).fills
        assert (fills["fee"] / fills["notional"]).tolist() == pytest.approx([0.001] * 4 + [0.0008])


def test_a_restart_and_batches_keep_the_rates() -> None:
    whole, candles = tiered(8)
    run_all(whole, candles)
    parts, _ = tiered(8)
    for start in range(0, len(candles), 7):
        parts.step(candles[start : start + 7])
        again, _ = tiered(8)
        again.restore(parts.snapshot())
        parts = again

    assert parts.digest == whole.digest
    assert parts.snapshot() == whole.snapshot()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fee_fixed": -1.0}, "fee_fixed -1.0 is not at least 0"),
        ({"fee_minimum": float("nan")}, "fee_minimum nan"),
        ({"fee_tiers": ((2.0, 0.1, 0.1), (1.0, 0.1, 0.1))}, "fee tier 2: volume 1 is not above 2"),
        ({"fee_tiers": ((2.0, -0.1, 0.1),)}, "fee tier 1: taker_fee_rate -0.1 is not at least 0"),
        ({"fee_tiers": tuple((k + 1.0, 0.1, 0.1) for k in range(20))}, "20 fee tiers are more"),
    ],
)
def test_fees_that_cannot_be_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Market("X", **values)


def test_a_configuration_has_them() -> None:
    rows = [{"volume": 1e6, "taker_fee_rate": 0.0004, "maker_fee_rate": -0.0001}]
    config = make_config({"market": {"fee_fixed": 1.0, "fee_surcharge_rate": 0.18, "fee_tiers": rows}})

    market = market_of("binance-usdm", "BTCUSDT", "linear", config)

    assert [tuple(vars_of(row)) for row in market.fee_tiers] == [(1e6, 0.0004, -0.0001)]
    assert market.entry_cost_rate == pytest.approx(0.0005 * 1.18 + 0.00005 + 0.0001)
    with pytest.raises(ConfigError, match=r"market.fee_tiers.0.taker_fee_rate: .*, not -0.1"):
        make_config({"market": {"fee_tiers": [{**rows[0], "taker_fee_rate": -0.1}]}})


def vars_of(row: Any) -> list[float]:
    return [row.volume, row.taker_fee_rate, row.maker_fee_rate]
