"""Markets that change at dates of the configuration: what comes of the rows, in a run, and what is refused."""

import math
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from papertape.engine.broker.risk.brackets import Bracket
from papertape.engine.broker.risk.fees import FeeTier
from papertape.engine.errors import ConfigError
from papertape.engine.spec import Market
from papertape.replay import Result, Tape, backtest
from papertape.replay.backtesting.verify import result_statement, verify
from papertape.replay.config import make_config
from papertape.replay.config.markets import market_changes
from papertape.replay.config.spec import make_spec
from papertape.replay.importers.sample import sample_tape
from papertape.replay.learning.settings import settings_of
from tests.support.helpers import make_candles

ASKED: dict[str, Any] = {
    "strategy": "ema_cross",
    "use_ml": False,
    "start": "2021-05-01",
    "end": "2021-06-15",
    "account": {"sizing": "fraction", "fixed_fraction": 1.0},
    "report": {"sensitivity": False, "random_draws": 0},
}
SYMBOL = "BTCUSDT"


def changes_of(values: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the changes of a configuration: day, and what is another than at the start."""
    tape = sample_tape()
    config = make_config(values)
    spec = make_spec(config, [tape])
    first = spec.markets[0].plain()
    found = []
    for time_ms, change in market_changes(config, spec):
        assert change.time_ms == time_ms
        day = str(np.datetime64(time_ms, "ms").astype("datetime64[D]"))
        found.append((day, {k: v for k, v in change.figures.items() if v != first[k]}))
    return found


def test_each_row_holds_with_those_before_it_and_a_symbols_counts_more() -> None:
    values = {
        "market": {
            "tick_size": 0.1,
            "changes": [
                {"start": "2021-01-01", "tick_size": 0.5},
                {"start": "2021-03-01", "taker_fee_rate": 0.0015},
            ],
        },
        "markets": {SYMBOL: {"changes": [{"start": "2021-03-01T00:00", "taker_fee_rate": 0.002}]}},
    }

    assert changes_of(values) == [
        ("2021-01-01", {"tick_size": 0.5}),
        ("2021-03-01", {"tick_size": 0.5, "taker_fee_rate": 0.0015}),
        ("2021-03-01", {"tick_size": 0.5, "taker_fee_rate": 0.002}),
    ]


def test_a_table_takes_the_place_of_the_rates() -> None:
    rows = [{"up_to": 1e6, "leverage": 50.0, "maintenance_rate": 0.01}]
    values = {
        "market": {
            "kind": "perpetual",
            "leverage": 10,
            "maintenance_rate": 0.005,
            "changes": [{"start": "2021-01-01", "brackets": rows}],
        }
    }

    assert changes_of(values) == [("2021-01-01", {"maintenance_rate": 0.0, "brackets": rows})]


LATER = {"start": "2021-03-01"}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([{**LATER, "tick_size": 1.0}, {"start": "2021-02-01", "tick_size": 2.0}],
         "market.changes: 2021-02-01 00:00 does not come after 2021-03-01 00:00; write them in order"),
        ([{**LATER, "tick_size": 0}], "market.changes.0: tick_size 0 is no step; leave it out"),
        ([{**LATER, "tick_size": -1}], "market.changes.0.tick_size: input should be greater than or equal to 0, not -1"),
        ([{**LATER, "tick_size": float("nan")}], "market.changes.0.tick_size: .*not nan"),
        ([{**LATER, "contract_value": 2.0}], "market.changes.0: contract_value cannot change while a market is traded"),
        ([{**LATER, "kind": "spot"}], "market.changes.0: kind cannot change"),
        ([{**LATER, "tick_sise": 2.0}], "market.changes.0.tick_sise: unknown key: did you mean 'tick_size'"),
        ([LATER], "market.changes.0: it changes nothing; leave the row out"),
        ([{"tick_size": 1.0}], "market.changes.0.start: field required"),
        ([{"start": 2021, "tick_size": 1.0}], "market.changes.0.start: 2021 is a bare number"),
        ([{**LATER, "maximum_leverage": 5.0}], "market.changes.0: .*leverage 10 is above the market's 5"),
        ([{**LATER, "maintenance_rate": 0.2}], "market.changes.0: .*leaves a margin of 10.000%, and 20.000% must be"),
        ([{**LATER, "leverage": 0.0}], "market.changes.0: .*leverage 10 cannot become 0"),
        ([{**LATER, "brackets": [{"up_to": 1e6, "leverage": 5.0, "maintenance_rate": 0.01}]}],
         "market.changes.0: .*leverage 10 is above 5, that of its smallest bracket"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_sentence(changes: list[Any], said: str) -> None:
    values = {"market": {"kind": "perpetual", "leverage": 10, "changes": changes}}

    with pytest.raises(ConfigError, match=said) as caught:
        changes_of(values)

    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture(scope="module")
def result() -> Result:
    changes = [{"start": "2021-05-20", "tick_size": 250.0, "taker_fee_rate": 0.002}]
    return backtest(sample_tape(), **ASKED, market={"changes": changes})


@pytest.mark.parametrize("place", ["market", "markets.BTCUSDT"])
def test_a_leverage_above_its_table_is_found_before_a_market_is_known(place: str) -> None:
    section: Any = {"leverage": 130, "brackets": [{"up_to": 5e4, "leverage": 125, "maintenance_rate": 0.004}]}
    values = {"market": section} if place == "market" else {"markets": {"BTCUSDT": section}}

    with pytest.raises(ConfigError, match=f"{place}: leverage 130 is above 125, that of its small"):
        make_config(values)


def tape(symbol: str, kind: str = "spot") -> Tape:
    return Tape(make_candles([(1.0, 1.0, 1.0, 1.0)]), "test", symbol, "1h", kind=kind)


@pytest.mark.parametrize(
    ("symbols", "said"),
    [
        (
            ("BTCUSDT", "ETHBTC"),
            "BTCUSDT is quoted in dollars and ETHBTC in BTC, and an account has one currency",
        ),
        (("BTC/USDT:USDT", "BTC-EUR-SWAP"), "BTC/USDT:USDT is quoted in dollars and BTC-EUR-SWAP in EUR"),
        (("BTCUSDT", "ETH/USD", "SOL-USDC"), ""),  # of dollars and the coins that stand for one
        (("ETHBTC", "XRP/BTC", "GOLD"), ""),  # what GOLD is quoted in nobody says
    ],
)
def test_an_account_has_one_currency(symbols: tuple[str, ...], said: str) -> None:
    tapes = [tape(symbol) for symbol in symbols]
    config = make_config({"strategy": {"name": "ema_cross"}})

    if not said:
        assert len(make_spec(config, tapes).markets) == len(symbols)
        return
    with pytest.raises(ConfigError, match=said):
        make_spec(config, tapes)
    only_read = {"markets": {symbols[1]: {"read_only": True}}, "strategy": {"name": "ema_cross"}}
    assert make_spec(make_config(only_read), tapes).traded == symbols[:1]


def test_an_inverse_contract_is_read_and_never_traded() -> None:
    tapes = [tape("BTCUSDT"), tape("BTCUSD_PERP", "inverse")]
    values: dict[str, Any] = {"strategy": {"name": "ema_cross"}}

    with pytest.raises(ConfigError, match="BTCUSD_PERP: it is an inverse contract, which pays in"):
        make_spec(make_config(values), tapes)
    only_read = {"markets": {"BTCUSD_PERP": {"read_only": True}}}
    assert len(make_spec(make_config(values | only_read), tapes).markets) == 2


def test_a_run_uses_what_was_valid_then(result: Result) -> None:
    fills = result.fill_table
    rate = fills["fee"] / fills["notional"]
    is_late = (fills["time"] >= "2021-05-20").to_numpy()

    assert 5 < np.count_nonzero(is_late) < len(fills) - 5
    assert rate[~is_late].to_numpy() == pytest.approx(0.001)  # Binance's, as markets.toml has it
    assert rate[is_late].to_numpy() == pytest.approx(0.002)
    assert not (fills["price"][is_late] % 250.0).any()
    assert (fills["price"][~is_late] % 250.0).all()
    what = "taker_fee_rate 0.001 → 0.002"
    assert result.summary["market_changes"] == [
        {"time_ms": 1_621_468_800_000, "symbol": SYMBOL, "what": f"tick_size 0.01 → 250, {what}"}
    ]
    said = [line for line in result.summary["doubts"] if "another market" in line]
    assert said == [f"{SYMBOL}: another market from 2021-05-20 00:00 on: tick_size 0.01 → 250, {what}."]


def test_it_is_written_verified_and_balances(result: Result, tmp_path: Path) -> None:
    folder = result.save(tmp_path / "out")

    assert verify(folder).differences == ()
    booked = result_statement(folder)
    assert booked.cash == booked.curve_cash
    assert len(booked.changes) == 2


def test_what_was_valid_before_the_first_candle_holds_from_there() -> None:
    early = [{"start": "2020-01-01", "tick_size": 250.0}, {"start": "2022-01-01", "tick_size": 1.0}]

    dated = backtest(sample_tape(), **ASKED, market={"changes": early})
    always = backtest(sample_tape(), **ASKED, market={"tick_size": 250.0})

    assert len(dated.fills) > 10
    assert dated.fills.tobytes() == always.fills.tobytes()
    assert dated.digest == always.digest


def test_what_it_costs_to_learn_and_to_hold_is_what_it_cost_at_the_first_candle() -> None:
    rows = [
        {"start": "2000-01-01", "taker_fee_rate": 0.01},
        {"start": "2000-02-01", "taker_fee_rate": 0.0001},
        {"start": "2022-01-01", "taker_fee_rate": 0.05},
    ]
    tape, costs, held = sample_tape(), [], []
    for market in ({"taker_fee_rate": 0.002, "changes": rows}, {"taker_fee_rate": 0.0001}):
        config = make_config({"market": market})
        costs.append(settings_of(config, make_spec(config, [tape])).cost)
        held.append(backtest(tape, **ASKED, market=market).metrics["buy_and_hold_return"])
    free = make_config({"market": {"taker_fee_rate": 0.0}})

    assert costs[0] == costs[1]
    assert costs[0] - settings_of(free, make_spec(free, [tape])).cost == pytest.approx(0.0002)
    assert held[0] == held[1]


def test_doubled_costs_are_those_of_their_time() -> None:
    asked = {**ASKED, "report": {"random_draws": 0}}
    dated = {"changes": [{"start": "2020-01-01", "taker_fee_rate": 0.003}]}

    runs = [backtest(sample_tape(), **asked, market=market) for market in (dated, {"taker_fee_rate": 0.003})]

    tables = [run.sensitivity.drop(columns="digest", errors="ignore") for run in runs]
    assert tables[0].to_dict() == tables[1].to_dict()


FIGURES = [entry.name for entry in fields(Market) if isinstance(entry.default, float)]
TABLES = {"brackets": Bracket(1e3, 10.0, 0.01), "fee_tiers": FeeTier(1e3, 0.001, 0.001)}
CELLS = [(table, entry.name) for table, row in TABLES.items() for entry in fields(row)]
NUMBERS = st.one_of(
    st.sampled_from([-1.0, -1e-12, 0.0, 1e-12, 0.01, 0.5, 1.0, 1e3, 1e9, math.nan, math.inf, -math.inf]),
    st.floats(),
)


def is_taken(make: Any, *names: str) -> bool:
    """Return whether something is made; what is refused names the thing and the value in one sentence."""
    try:
        make()
    except ConfigError as error:
        said = str(error)
        assert all(name in said for name in names), said
        assert "\n" not in said
        return False
    return True


@given(name=st.sampled_from(FIGURES), value=NUMBERS)
def test_python_and_a_configuration_take_the_same_figures_of_a_market(name: str, value: float) -> None:
    in_python = is_taken(
        lambda: Market("X", is_perpetual=True, **{name: value}), "market X", name, f"{value}"
    )
    configured = is_taken(lambda: make_config({"market": {name: value}}), f"market.{name}", f"{value}")

    assert in_python is configured
    assert in_python or not 0.0 < value < 0.01  # no rule is about a small positive number


@given(cell=st.sampled_from(CELLS), value=NUMBERS)
def test_python_and_a_configuration_take_the_same_rows_of_its_tables(
    cell: tuple[str, str], value: float
) -> None:
    table, name = cell
    row = {entry.name: getattr(TABLES[table], entry.name) for entry in fields(TABLES[table])} | {name: value}

    in_python = is_taken(lambda: Market("X", is_perpetual=True, **{table: [row]}), "market X")
    configured = is_taken(lambda: make_config({"market": {table: [row]}}), f"market.{table}.0.{name}")

    # What a row means as a whole is looked at where a market is made.
    assert in_python is configured or (
        configured and row.get("leverage", 0.0) * row.get("maintenance_rate", 0.0) >= 1.0
    )


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        (None, "is no number"),
        ("0.5", "is no number"),
        (math.nan, "is not at least 0"),
        (-1.0, "is not at least 0"),
        (math.inf, "is not finite"),
    ],
)
def test_a_market_of_python_says_what_is_wrong_and_the_way_out(value: Any, rule: str) -> None:
    with pytest.raises(ConfigError, match=f"market X: tick_size {value} {rule}; left out it is 0"):
        Market("X", tick_size=value)


def test_costs_twice_are_costs_that_a_market_can_have() -> None:
    tier = FeeTier(1e3, 0.3, -0.001)
    market = Market("X", taker_fee_rate=0.3, slippage_rate=0.2, fee_minimum=6e8, fee_tiers=(tier,))

    doubled = market.with_doubled_costs

    assert 0.499 < doubled.taker_fee_rate < 0.5
    assert doubled.slippage_rate == 0.4
    assert 9e8 < doubled.fee_minimum < 1e9
    assert (doubled.fee_tiers[0].taker_fee_rate, doubled.fee_tiers[0].maker_fee_rate) == (
        doubled.taker_fee_rate,
        -0.001,
    )
