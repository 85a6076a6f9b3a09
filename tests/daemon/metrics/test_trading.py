"""Numbers of account, trades and decisions: recomputed from the records of the same run, row by row, in plain Python."""

import math
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, generate_latest

from papertape.daemon.metrics import PREFIX, Metrics, Restored, Scope
from papertape.daemon.metrics.trading import AccountDay, day_of
from papertape.daemon.monitoring.model_observer import ModelObserver
from papertape.daemon.monitoring.states import account_state, order_states, order_told, position_states
from papertape.engine.broker.working.orders import CAUSE_NAMES, STATUS_NAMES, WRONG_SIDE
from papertape.engine.candles import DAY_MS, HOUR_MS
from papertape.engine.core import Engine
from papertape.engine.events import Action, Command
from papertape.engine.performance.attribution import COMPONENTS, attribution
from papertape.engine.records import FLAT, LONG, MARK, REASON_ENTRY, REFUSED_SIZE, SHORT
from papertape.engine.spec import EngineSpec, Market, Settings
from papertape.engine.strategies import Decision
from papertape.engine.strategies.confluence import Confluence
from tests.support.every_order import EveryOrder
from tests.support.helpers import START_MS, Outcome, Scripted, interleave, make_candles, random_candles

QUOTE = 1e-9
SYMBOLS = ("AAA", "BBB")
SCOPE = Scope(symbols=SYMBOLS, base_timeframe="1h", timeframe="4h", currency="USDT")
TAPE = interleave([random_candles(3000, seed=3), random_candles(3000, seed=4)])


def make_engine(**settings: Any) -> Engine:
    """Return two perpetuals with costs under the default strategy, four hours on one."""
    market = {"is_perpetual": True, "taker_fee_rate": 0.001, "slippage_rate": 0.0003}
    return Engine(
        EngineSpec(
            markets=[Market(symbol, **market) for symbol in SYMBOLS],
            strategy=Confluence(confidence_threshold=0.3, exit_threshold=0.1, use_smc=False),
            timeframe="4h",
            base_timeframe="1h",
            settings=Settings(leverage_cap=2.0, **settings),
        )
    )


def run(metrics: Metrics, engine: Engine, candles: Any, batch: int = 500) -> Outcome:
    """Step through the candles, every report into the metrics, and return what was reported."""
    reports = []
    for first in range(0, len(candles), batch):
        reports.append(engine.step(candles[first : first + batch]))
        metrics.on_report(reports[-1], engine)
    return Outcome(engine, reports)


class Values:
    """The samples of a registry, summed over the labels that are not asked for."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.samples = [sample for family in registry.collect() for sample in family.samples]

    def has(self, name: str, **labels: str) -> bool:
        return any(
            sample.name == PREFIX + name and labels.items() <= sample.labels.items()
            for sample in self.samples
        )

    def total(self, name: str, **labels: str) -> float:
        found = [
            sample.value
            for sample in self.samples
            if sample.name == PREFIX + name and labels.items() <= sample.labels.items()
        ]
        assert found, f"{name} {labels}"
        return math.fsum(found)


@pytest.fixture(scope="module")
def whole() -> tuple[Values, Outcome]:
    metrics, engine = Metrics(SCOPE), make_engine()
    outcome = run(metrics, engine, TAPE)
    assert len(outcome.trades) > 40  # otherwise nothing below says much
    assert set(outcome.trades["side"].tolist()) == {LONG, SHORT}
    return Values(metrics.registry), outcome


def test_account_is_the_newest_mark(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    last, peak = outcome.marks[-1], max(10_000.0, outcome.marks["equity"].max() * QUOTE)

    assert values.total("equity") == pytest.approx(last["equity"] * QUOTE, rel=1e-12)
    assert values.total("cash") == pytest.approx(last["cash"] * QUOTE, rel=1e-12)
    assert values.total("exposure") == pytest.approx(last["exposure"] * QUOTE, rel=1e-9)
    assert values.total("positions_open") == last["open_positions"]
    assert values.total("equity_peak") == pytest.approx(peak, rel=1e-12)
    drawdown = 1.0 - last["equity"] * QUOTE / peak
    assert values.total("drawdown_ratio") == pytest.approx(drawdown, rel=1e-9)
    leverage = last["exposure"] / last["equity"]
    assert values.total("leverage_ratio") == pytest.approx(leverage, rel=1e-9)
    usage = values.total("risk_limit_usage_ratio", limit="max_exposure")
    assert usage == pytest.approx(leverage / 2.0, rel=1e-9)  # the cap is 2


def test_a_day_starts_with_the_last_mark_before_it(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    days = (outcome.marks["time_ms"] - HOUR_MS) // DAY_MS  # of the last candle that each closed
    before = outcome.marks[days < days[-1]][-1]

    assert values.total("equity_day_start") == pytest.approx(before["equity"] * QUOTE, rel=1e-12)
    assert before["equity"] != outcome.marks[-1]["equity"]
    metrics = Metrics(SCOPE)
    metrics.on_account(make_engine())
    assert Values(metrics.registry).total("equity_day_start") == 10_000.0  # the capital


def test_a_day_that_begins_between_two_reports_starts_with_what_was_known() -> None:
    marks = np.zeros(3, MARK)
    marks["time_ms"] = DAY_MS * 7 + np.array([-HOUR_MS, 0, HOUR_MS])  # 23:00, 00:00 and 01:00
    marks["equity"] = (np.array([100.0, 101.0, 104.0]) / QUOTE).astype(np.int64)

    assert day_of(marks[:2], None, 1e9) == AccountDay(6, None, 101.0)  # 00:00 ends its day
    assert day_of(marks[2:], AccountDay(6, None, 101.0), 1e9) == AccountDay(7, 101.0, 104.0)
    assert day_of(marks[2:], AccountDay(7, 99.0, 103.0), 1e9) == AccountDay(7, 99.0, 104.0)
    assert day_of(marks, AccountDay(6, 90.0, 95.0), 1e9) == AccountDay(7, 101.0, 104.0)


def test_capital_realised_and_open_results_add_up_to_equity(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    fees_to_close = outcome.marks[-1]["exposure"] * QUOTE * 0.001

    total = 10_000.0 + values.total("realized_pnl") + values.total("unrealized_pnl") + fees_to_close

    assert total == pytest.approx(values.total("equity"), abs=1e-6)


def test_profit_loss_and_trades_are_those_of_the_records(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    trades = outcome.trades
    for index, symbol in enumerate(SYMBOLS):
        own = trades[trades["symbol"] == index]
        won, lost = own["pnl"][own["pnl"] > 0].sum(), -own["pnl"][own["pnl"] < 0].sum()
        assert values.total("gross_profit_total", symbol=symbol) == pytest.approx(won * QUOTE)
        assert values.total("gross_loss_total", symbol=symbol) == pytest.approx(lost * QUOTE)
        for side, name in ((LONG, "long"), (SHORT, "short")):
            wins = np.count_nonzero((own["side"] == side) & (own["pnl"] > 0))
            found = values.total("trades_closed_total", symbol=symbol, side=name, outcome="win")
            assert found == wins
    assert values.total("trades_closed_total") == len(trades)
    # Only the technical component speaks here, so every trade is due to it.
    assert values.total("trades_closed_total", signal="technical") == len(trades)


def test_histograms_of_trades_hold_their_sums_and_buckets(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    trades = outcome.trades
    returns = trades["pnl"] / trades["notional"]
    held_s = (trades["exit_ms"] - trades["entry_ms"]) / 1000.0

    # No sum and no count: OpenMetrics forbids them where a bucket lies below zero, since a sum could fall.
    assert values.total("trade_return_ratio_bucket", le="+Inf") == len(trades)
    for bound in (-0.02, 0.0, 0.01):
        below = values.total("trade_return_ratio_bucket", le=str(bound))
        assert below == np.count_nonzero(returns <= bound)
    assert values.total("trade_duration_seconds_sum") == pytest.approx(held_s.sum())
    day = values.total("trade_duration_seconds_bucket", le="86400.0")
    assert day == np.count_nonzero(held_s <= 86400.0)


def test_parts_by_component_add_up_to_the_profit(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    parts = attribution(outcome.trades)

    net = values.total("attributed_profit_total") - values.total("attributed_loss_total")

    assert net == pytest.approx(outcome.trades["pnl"].sum() * QUOTE)
    for component in COMPONENTS:
        own = values.total("attributed_profit_total", component=component) - values.total(
            "attributed_loss_total", component=component
        )
        assert own == pytest.approx(parts[component].sum() * QUOTE)


def test_fills_give_orders_fees_exits_and_slippage(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    fills = outcome.fills
    exits = {2: "signal", 3: "stop", 4: "target", 5: "reverse", 6: "manual", 8: "liquidation"}

    for code, name in exits.items():
        assert values.total("exits_total", reason=name) == np.count_nonzero(fills["reason"] == code)
    for index, symbol in enumerate(SYMBOLS):
        own = fills[fills["symbol"] == index]
        fees = values.total("fees_total", symbol=symbol)
        assert fees == pytest.approx(own["fee"].sum() * QUOTE)
        bought = values.total("orders_total", symbol=symbol, side="buy", status="filled")
        assert bought == np.count_nonzero(own["side"] == 1)
        costs = (own["slippage"] + own["spread"]) / own["notional"]
        for bound in (0.0002, 0.0005):
            found = values.total("fill_slippage_ratio_bucket", symbol=symbol, le=str(bound))
            assert found == np.count_nonzero(costs <= bound)
    stops = values.total("orders_total", type="stop", status="filled")
    assert stops == np.count_nonzero(fills["reason"] == 3)


def test_one_decision_per_symbol_and_closed_candle(whole: tuple[Values, Outcome]) -> None:
    values, outcome = whole
    asked = outcome.decisions[outcome.decisions["refused"] != REFUSED_SIZE]
    expected = Counter({LONG: "enter_long", SHORT: "enter_short", FLAT: "exit"})

    assert values.total("decisions_total") == 2 * 3000 / 4
    for target, action in expected.items():
        found = values.total("decisions_total", action=action)
        wanted = (asked["target"] == target) & (asked["refused"] == 0)
        assert found == np.count_nonzero(wanted)
    entries = np.count_nonzero((asked["target"] != FLAT) & (asked["refused"] == 0))
    assert values.total("signals_total") == entries
    assert values.total("signals_total", signal="technical", timeframe="4h") == entries


@pytest.mark.parametrize(("rows", "hours"), [(2 * 7, 4), (2 * 8, 8), (2 * 11, 8)])
def test_the_last_decision_is_the_newest_close_of_the_strategys_timeframe(rows: int, hours: int) -> None:
    metrics, engine = Metrics(SCOPE), make_engine()

    run(metrics, engine, TAPE[:rows])

    decided_s = Values(metrics.registry).total("decision_last_timestamp_seconds", timeframe="4h")
    assert decided_s == START_MS / 1000.0 + hours * 3600.0


def test_prices_of_market_position_and_fills_are_those_of_the_records() -> None:
    """Candle by candle: what a price panel with entries and exits, and a table of positions, show."""
    metrics, engine = Metrics(SCOPE), make_engine()
    entries = exits = 0
    for first in range(0, 1_200, 2):
        report = engine.step(TAPE[first : first + 2])
        metrics.on_report(report, engine)
        values = Values(metrics.registry)
        if not len(report.fills):
            assert not values.has("fill_price")
            continue
        last = {int(fill["symbol"]): fill for fill in report.fills}
        for index, fill in last.items():
            symbol, position = SYMBOLS[index], engine.positions[index]
            is_entry = fill["reason"] == REASON_ENTRY
            entries, exits = entries + is_entry, exits + (not is_entry)
            side = "buy" if fill["side"] > 0 else "sell"
            action = "entry" if is_entry else "exit"
            assert values.total("fill_price", symbol=symbol, side=side, action=action) == fill["price"]
            assert values.total("position_quantity", symbol=symbol) == position["quantity"]
            for level in ("entry", "stop", "target"):
                expected = position[f"{level}_price"] if position["quantity"] else 0.0
                labels = {"symbol": symbol, "level": level}
                assert values.has("position_price", **labels) == bool(expected)
                if expected:
                    assert values.total("position_price", **labels) == expected
    assert entries > 3 < exits
    values = Values(metrics.registry)
    for index, symbol in enumerate(SYMBOLS):
        assert values.total("market_price", symbol=symbol) == TAPE["close"][1_198 + index]


@pytest.mark.parametrize("batch", [1, 7, 6000])
def test_batches_change_no_number(whole: tuple[Values, Outcome], batch: int) -> None:
    candles = TAPE[:800] if batch == 1 else TAPE
    one, other = Metrics(SCOPE, 0.0), Metrics(SCOPE, 0.0)

    run(one, make_engine(), candles, batch)
    run(other, make_engine(), candles)

    ours = {(s.name, *sorted(s.labels.items())): s.value for s in Values(one.registry).samples}
    for sample in Values(other.registry).samples:
        if sample.name.startswith(PREFIX):
            key = (sample.name, *sorted(sample.labels.items()))
            assert ours[key] == pytest.approx(sample.value, rel=1e-9, abs=1e-9), key


def test_a_restart_loses_no_increase_and_no_state(whole: tuple[Values, Outcome]) -> None:
    values = whole[0]
    half = 2 * 1501  # not at the end of a strategy candle
    first, engine = Metrics(SCOPE, 0.0), make_engine()
    before = run(first, engine, TAPE[:half])
    snapshot, peak = engine.snapshot(), before.marks["equity"].max() * QUOTE

    second, again = Metrics(SCOPE, 0.0), make_engine()
    again.restore(snapshot)
    day = day_of(before.marks, None, 1e9)
    second.restore(Restored(equity_peak=peak, day=day))
    second.on_account(again)
    restored = Values(second.registry)
    run(second, again, TAPE[half:])

    # What the first process said last, the second says before its first candle.
    last = Values(first.registry)
    for name in (
        "equity",
        "equity_peak",
        "cash",
        "realized_pnl",
        "unrealized_pnl",
        "exposure",
        "equity_day_start",
    ):
        assert restored.total(name) == pytest.approx(last.total(name), rel=1e-12), name
    # increase() over a reset is the sum of both: counters of the halves make the whole.
    end = Values(second.registry)
    for name in (
        "gross_profit_total",
        "gross_loss_total",
        "attributed_profit_total",
        "fees_total",
        "trades_closed_total",
        "exits_total",
        "decisions_total",
        "orders_total",
        "signals_total",
        "trade_return_ratio_bucket",
        "trade_duration_seconds_sum",
        "fill_slippage_ratio_bucket",
    ):
        assert last.total(name) + end.total(name) == pytest.approx(values.total(name)), name
    for name in ("equity", "equity_peak", "equity_day_start", "realized_pnl", "positions_open"):
        assert end.total(name) == pytest.approx(values.total(name)), name


def test_being_measured_and_scraped_changes_nothing() -> None:
    alone, measured, metrics = make_engine(), make_engine(), Metrics(SCOPE)
    for first in range(0, 2000, 250):
        alone.step(TAPE[first : first + 250])
        metrics.on_report(measured.step(TAPE[first : first + 250]), measured)
        generate_latest(metrics.registry)

    assert measured.digest == alone.digest
    assert measured.snapshot() == alone.snapshot()


def scripted(
    script: dict[int, Decision], n: int = 8, capital: float = 10_000.0, **settings: Any
) -> tuple[Metrics, Engine, Any]:
    """Return one symbol on one timeframe under a scripted strategy, and its candles."""
    prices = [(100.0, 101.0, 99.0, 100.0)] * n
    market = Market("X", is_perpetual=True, minimum_size=settings.pop("minimum_size", 0.0))
    options = {"sizing": "all_in", **settings}
    spec = EngineSpec(
        markets=[market],
        strategy=Scripted(script),
        timeframe="1h",
        base_timeframe="1h",
        capital=capital,
        settings=Settings(**options),
    )
    scope = Scope(symbols=("X",), base_timeframe="1h", timeframe="1h", currency="USDT")
    return Metrics(scope), Engine(spec), make_candles(prices)


def test_refusals_are_skipped_decisions_or_rejected_orders() -> None:
    short = Decision(SHORT, score_smc=-1.0, score_technical=0.4)
    metrics, engine, candles = scripted({1: short, 2: Decision(FLAT)}, allow_short=False)
    run(metrics, engine, candles)
    values = Values(metrics.registry)
    assert values.total("decisions_total", action="skip") == 1.0
    assert values.total("signals_rejected_total", signal="smc", reason="short_not_allowed") == 1.0
    assert values.total("orders_total") == 0.0

    long = Decision(LONG, score_model=0.7)
    metrics, engine, candles = scripted({1: long}, minimum_size=1e6)
    run(metrics, engine, candles)
    values = Values(metrics.registry)
    assert values.total("decisions_total", action="enter_long") == 1.0
    assert values.total("decisions_total", action="hold") == 7.0
    assert values.total("signals_rejected_total", signal="model", reason="below_minimum_size") == 1
    assert values.total("orders_total", side="buy", type="market", status="rejected") == 1.0


def test_faults_of_a_strategy_and_answers_that_change_nothing_are_rejected_with_their_reason() -> None:
    held = {n: Decision(LONG, stop_price=90.0 + n) for n in range(1, 5)}
    metrics, engine, candles = scripted({**held, 6: Decision(LONG, stop_price=math.inf)})

    run(metrics, engine, candles)

    values = Values(metrics.registry)
    assert values.total("signals_rejected_total", reason="held_already") == 3.0
    assert values.total("signals_rejected_total", reason="strategy_fault") == 1.0
    assert values.total("decisions_total", action="skip") == 1.0
    assert values.total("decisions_total", action="hold") == 6.0
    assert values.total("trading_halted", reason="errors") == 1.0
    assert values.total("trading_halted") == 1.0  # nobody paused it by hand
    metrics.on_report(engine.step(Command(Action.PAUSE)), engine)
    assert Values(metrics.registry).total("trading_halted", reason="manual") == 1.0


def test_a_pause_halts_and_a_flatten_exits_by_hand() -> None:
    metrics, engine, candles = scripted({1: Decision(LONG), 5: Decision(LONG)})
    run(metrics, engine, candles[:4])
    assert Values(metrics.registry).total("positions_open", side="long") == 1.0

    for action in (Action.FLATTEN, Action.PAUSE):
        metrics.on_report(engine.step(Command(action)), engine)
    run(metrics, engine, candles[4:])

    values = Values(metrics.registry)
    assert values.total("exits_total", reason="manual") == 1.0
    assert values.total("trading_halted", reason="manual") == 1.0
    assert values.total("positions_open") == values.total("unrealized_pnl") == 0.0
    assert values.total("signals_rejected_total", reason="halted") == 1.0
    metrics.on_report(engine.step(Command(Action.RESUME)), engine)
    assert Values(metrics.registry).total("trading_halted") == 0.0


def test_a_ruin_halts_and_is_an_exit_of_its_own() -> None:
    """Three times long at 100; at 60 more than all is lost, and at the next open everything is closed."""
    candles = make_candles([(p, p, p, p) for p in (100.0, 100.0, 60.0, 61.0, 90.0, 90.0)])
    engine = Engine(
        EngineSpec(
            [Market("AAA", is_perpetual=True, tick_size=0.01)],
            Scripted(dict.fromkeys(range(6), Decision(LONG))),
            "1h",
            "1h",
            settings=Settings("all_in", leverage_cap=3.0),
        )
    )
    metrics = Metrics(SCOPE)

    run(metrics, engine, candles, batch=1)

    values = Values(metrics.registry)
    assert values.total("exits_total", reason="ruin") == 1.0
    assert values.total("trading_halted", reason="ruin") == 1.0
    assert values.total("trading_halted") == 1.0
    assert values.total("signals_rejected_total", reason="ruined") >= 1.0
    assert values.total("positions_open") == 0.0
    state = account_state(engine, "USDT", 0.0)
    assert state.ruined_ms == candles[3].open_ms
    assert not state.is_paused
    unfaulted = SimpleNamespace(is_halting=False)
    daemon = SimpleNamespace(engine=engine, watch=None, faults=unfaulted, is_diverged=False)
    assert ModelObserver.halted(None, daemon) == ("ruin",)  # type: ignore[arg-type]
    engine.step(Command(Action.PAUSE))
    assert ModelObserver.halted(None, daemon) == ("ruin", "manual")  # type: ignore[arg-type]


def test_positions_are_told_on_the_grid_of_their_market() -> None:
    """Three lots of 0.1 sold at 0.13879: float noise of neither reaches the status."""
    price = 0.13879
    engine = Engine(
        EngineSpec(
            [Market("AAA", is_perpetual=True, tick_size=1e-5, lot_size=0.1, taker_fee_rate=0.0)],
            Scripted({0: Decision(SHORT, stop_distance=0.01)}),
            "1h",
            "1h",
            0.0417,
            Settings("all_in", cash_share=1.0),
        )
    )
    candles = make_candles([(price, price, price, price)] * 3)
    engine.step(candles)
    engine.positions["entry_price"] = np.nextafter(engine.positions["entry_price"], 1.0)
    engine.positions["quantity"] = -0.30000000000000004

    (state,) = position_states(engine)

    assert (state.quantity, state.entry_price, state.last_price) == (-0.3, 0.13876, 0.13879)
    assert state.stop_price == 0.14876
    assert state.target_price is None


def test_halts_that_the_engine_does_not_know_are_told() -> None:
    metrics = Metrics(SCOPE)

    metrics.on_halt("divergence", True)

    assert Values(metrics.registry).total("trading_halted", reason="divergence") == 1.0
    metrics.on_halt("divergence", False)
    assert Values(metrics.registry).total("trading_halted") == 0.0


@pytest.mark.parametrize(
    ("scores", "cause"),
    [
        ({"score_model": 0.2, "score_smc": 0.5, "score_technical": 0.1}, "smc"),
        ({"score_model": 0.2, "score_smc": -0.5, "score_technical": 0.1}, "model"),
        ({"score_model": -0.2, "score_smc": -0.5}, "unattributed"),  # all argued against
        ({}, "unattributed"),
    ],
)
def test_the_primary_cause_is_what_argued_most_for_the_trade(scores: dict[str, float], cause: str) -> None:
    metrics, engine, candles = scripted({1: Decision(LONG, **scores), 3: Decision(FLAT)})

    run(metrics, engine, candles)

    values = Values(metrics.registry)
    assert values.total("trades_closed_total", signal=cause) == 1.0
    assert values.total("signals_total", signal=cause, side="long") == 1.0
    # Prices stand still: costs make it a loss.
    assert values.total("trades_closed_total", outcome="loss") == 1.0


def test_latency_is_by_stage_and_leads_to_a_decision() -> None:
    metrics, engine, candles = scripted({1: Decision(LONG)})
    latencies_s = {"engine": 0.0004, "total": 0.2}

    metrics.on_report(engine.step(candles), engine, latencies_s)

    values = Values(metrics.registry)
    assert values.total("decision_latency_seconds_count", stage="total") == 1.0
    assert values.total("decision_latency_seconds_sum", stage="total") == pytest.approx(0.2)
    assert values.total("decision_latency_seconds_bucket", stage="total", le="0.1") == 0.0
    assert values.total("decision_latency_seconds_bucket", stage="total", le="0.25") == 1.0
    exemplars = [s.exemplar for s in values.samples if s.exemplar is not None]
    assert {e.labels["decision_id"] for e in exemplars} == {"0"}


def test_a_removed_symbol_comes_back_with_no_report() -> None:
    metrics, engine = Metrics(SCOPE), make_engine()
    run(metrics, engine, TAPE[:2000])

    metrics.remove("BBB")
    run(metrics, engine, TAPE[2000:3000])

    values = Values(metrics.registry)
    assert not [s for s in values.samples if s.labels.get("symbol") == "BBB"]
    assert values.total("decisions_total", symbol="AAA") == 1500 / 4


def test_orders_of_a_strategy_are_counted_and_told() -> None:
    spec = EngineSpec(
        [Market(symbol, is_perpetual=True, lot_size=0.001) for symbol in SYMBOLS],
        EveryOrder(),
        "1h",
        "1h",
        settings=Settings(leverage_cap=2.0),
    )
    engine, metrics = Engine(spec), Metrics(replace(SCOPE, timeframe="1h"))
    rows = []
    for first in range(0, 1_200, 40):
        report = engine.step(TAPE[first : first + 40])
        metrics.on_report(report, engine)
        rows += [
            dict(zip(report.orders.dtype.names or (), row, strict=True)) for row in report.orders.tolist()
        ]
        told = [order_told(engine, order) for order in report.orders]
        assert all(t["status"] and t["kind"] and t["symbol"] in SYMBOLS for t in told)
    values = Values(metrics.registry)

    counted = Counter((SYMBOLS[row["symbol"]], STATUS_NAMES[row["status"]]) for row in rows)
    assert len(counted) > 10
    for (symbol, status), n in counted.items():
        label = status.replace(" ", "_")
        assert values.total("order_events_total", symbol=symbol, status=label) == n
    ended = [row for row in rows if STATUS_NAMES[row["status"]] in ("refused", "cancelled", "expired")]
    assert values.total("order_ends_total") == len(ended)
    wrong = sum(CAUSE_NAMES.get(row["cause"]) == CAUSE_NAMES[WRONG_SIDE] for row in ended)
    assert values.total("order_ends_total", cause="wrong_side") == wrong > 0
    states = order_states(engine)
    # What was placed and has not ended rests; a fill of all of it is an end too.
    ends = {
        row["number"] for row in rows if STATUS_NAMES[row["status"]] in ("filled", "cancelled", "expired")
    }
    placed = {row["number"] for row in rows if STATUS_NAMES[row["status"]] == "placed"}
    assert {state.number for state in states} == placed - ends
    assert values.total("orders_working") == len(states)
