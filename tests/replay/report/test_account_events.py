"""What the report lists of an account: each flattening, lock, refusal, settlement and liquidation, with its reason."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.daemon.commands.replay import show
from papertape.engine.broker.working.orders import CANCELLED, FILLED, ORDER_EVENT, REFUSED, TABLE_FULL
from papertape.engine.records import (
    DECISION,
    LIMIT_EVENT,
    PAYMENT,
    REFUSED_DAILY_LOSS,
    REFUSED_LOSSES,
    REFUSED_NAMES,
    REFUSED_POSITIONS,
    REFUSED_SHORT,
)
from papertape.replay import Result, Tape, backtest
from papertape.replay.report import account_events
from papertape.replay.report.account_events import pack_account_events
from tests.support.browser import needs_browser, open_in_browser
from tests.support.helpers import START_MS, random_candles
from tests.support.packed import unpack_floats, unpack_integers, unpack_steps

HOUR_MS = 3_600_000


def rows_of(packed: dict[str, Any]) -> list[tuple[int, str, str | None, str, float, float]]:
    """Return (second, kind, symbol, reason, amount, value) as the page reads them."""
    symbols = [*packed["symbols"], None]
    columns = [
        unpack_steps(packed["time"]).tolist(),
        [packed["kinds"][k] for k in unpack_integers(packed["kind"])],
        [symbols[k] for k in unpack_integers(packed["symbol"])],
        [packed["reasons"][k] for k in unpack_integers(packed["reason"])],
        unpack_floats(packed["amount"]).tolist(),
        unpack_floats(packed["value"]).tolist(),
    ]
    return list(zip(*columns, strict=True))


def records(dtype: Any, *rows: dict[str, Any]) -> Any:
    found = np.zeros(len(rows), dtype)
    for row, values in zip(found, rows, strict=True):
        for name, value in values.items():
            row[name] = value
    return found


TRADED = {
    "symbol": np.array(["A", "B", "A"]),
    "exit_reason": np.array(["stop", "liquidation", "daily loss"]),
    "exit_time": (START_MS + HOUR_MS * np.array([1, 2, 5])).astype("datetime64[ms]"),
    "pnl": np.array([-1.0, -250.5, 4.0]),
}
DECISIONS = records(
    DECISION,
    {"time_ms": START_MS, "symbol": 1},
    {"time_ms": START_MS + 3 * HOUR_MS, "symbol": 1, "refused": REFUSED_SHORT},
)
ORDERS = records(
    ORDER_EVENT,
    {"time_ms": START_MS + 4 * HOUR_MS, "status": REFUSED, "cause": TABLE_FULL},
    {"time_ms": START_MS + 6 * HOUR_MS, "status": CANCELLED, "cause": REFUSED_POSITIONS},
    {"time_ms": START_MS + 6 * HOUR_MS, "status": FILLED},
)
LIMITS = records(
    LIMIT_EVENT,
    {"time_ms": START_MS + 5 * HOUR_MS, "limit": REFUSED_DAILY_LOSS, "value": 0.031},
    {"time_ms": START_MS + 7 * HOUR_MS, "limit": REFUSED_LOSSES, "value": 3.0},
)
PAYMENTS = records(
    PAYMENT,
    {"time_ms": START_MS + 8 * HOUR_MS, "symbol": 0, "rate": 0.0001, "amount": 1_500_000_000},
    {"time_ms": START_MS + 9 * HOUR_MS, "symbol": 1, "rate": 0.0002, "amount": -20_000_000},
)


def packed() -> dict[str, Any]:
    return pack_account_events(TRADED, ("A", "B"), DECISIONS, ORDERS, LIMITS, PAYMENTS, 1e9)


def test_everything_stands_there_with_its_reason() -> None:
    second = START_MS // 1000
    expected = [
        (second + 2 * 3600, "closed", "B", "liquidation", -250.5, np.nan),
        (second + 3 * 3600, "refused", "B", REFUSED_NAMES[REFUSED_SHORT], np.nan, np.nan),
        (second + 4 * 3600, "refused", "A", "16 orders of this symbol work already", np.nan, np.nan),
        (second + 5 * 3600, "closed", "A", "daily loss", 4.0, np.nan),
        (second + 5 * 3600, "locked", None, "daily loss", np.nan, 0.031),
        (second + 6 * 3600, "refused", "A", REFUSED_NAMES[REFUSED_POSITIONS], np.nan, np.nan),
        (second + 7 * 3600, "locked", None, "losses in a row", np.nan, np.nan),
        (second + 8 * 3600, "funding", "A", "paid", -1.5, 0.0001),
        (second + 9 * 3600, "funding", "B", "received", 0.02, 0.0002),
    ]

    found = rows_of(packed())

    assert [row[:4] for row in found] == [row[:4] for row in expected]
    np.testing.assert_allclose([row[4:] for row in found], [row[4:] for row in expected])


def test_of_too_many_the_newest_are_kept_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = rows_of(packed())
    monkeypatch.setattr(account_events, "MOST_EVENTS", 4)

    cut = packed()

    assert [row[:4] for row in rows_of(cut)] == [row[:4] for row in whole[-4:]]
    assert cut["earlier"] == [2, 1, 2, 0]  # closed, locked, refused, funding


def test_of_an_account_without_any_nothing_is_listed() -> None:
    none = pack_account_events({}, (), DECISIONS[:0], ORDERS[:0], LIMITS[:0], PAYMENTS[:0], 1e9)

    assert rows_of(none) == []


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """Return a perpetual that is settled every eight hours and limited, on thin margin."""
    candles = random_candles(1_500, 3)
    stamps = np.arange(START_MS, int(candles["open_ms"][-1]), 8 * HOUR_MS)
    path = tmp_path_factory.mktemp("funding") / "funding.csv"
    pd.DataFrame({"funding_time": stamps, "funding_rate": 0.0001}).to_csv(path, index=False)
    return backtest(
        tapes=[Tape(candles, "binance-usdm", "TEST", "1h", source="made in a test")],
        strategy="ema_cross",
        use_ml=False,
        funding={"TEST": path},
        market={"leverage": 20.0, "maintenance_rate": 0.03},
        account={"sizing": "fraction", "fixed_fraction": 2.0, "leverage_cap": 3.0},
        limits={"daily_loss": 0.03, "losses": 3, "orders": 1},
        report={"sensitivity": False, "random_draws": 0},
    )


def test_a_run_lists_as_many_as_its_records_have(result: Result) -> None:
    found = rows_of(
        pack_account_events(
            result.traded,
            result.summary["symbols"],
            result.decisions,
            result.orders,
            result.limits,
            result.payments,
            1e9,
        )
    )

    counts = Counter(kind for _, kind, *_ in found)
    exits = result.trades["exit_reason"].value_counts()
    assert counts["closed"] == exits["liquidation"] + exits["daily loss"] > 10
    assert counts["locked"] == len(result.limits) > 5
    assert counts["funding"] == len(result.payments) > 50
    assert counts["refused"] == int((result.decisions["refused"] != 0).sum()) > 0
    paid = sum(amount for _, kind, *_, amount, _ in found if kind == "funding")
    assert paid == pytest.approx(-result.trades["funding"].sum(), abs=1e-5)


def test_the_terminal_says_how_many_something_else_closed(
    result: Result, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show(result, tmp_path / "out", as_json=False)

    printed = " ".join(capsys.readouterr().out.split())
    exits = result.trades["exit_reason"].value_counts()
    assert f"{exits['daily loss']} daily loss" in printed
    assert f"{exits['liquidation']} liquidation" in printed


@pytest.mark.slow
@needs_browser
def test_a_browser_lists_them(result: Result, tmp_path: Path) -> None:
    dom = open_in_browser(result.plot(tmp_path / "page.html"), tmp_path / "profile")

    assert "data-errors" not in dom
    assert f"funding {len(result.payments):,}" in dom
    assert "0.0100&nbsp;%" in dom  # two decimals of a percent would show most rates as none
