"""A replay in a currency with many digits says what the same replay says in another: every figure of it, as many times the quote."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from papertape.engine.broker.ledger import CURRENCY_DECIMALS
from papertape.engine.errors import ConfigError
from papertape.replay import Result, Tape, backtest
from papertape.replay.backtesting.verify import result_statement, verify
from papertape.replay.config import make_config
from papertape.replay.report.data import curve_of
from papertape.replay.report.page import money_places
from tests.support.helpers import random_candles

COARSER = 1e6  # rupiah a quote, in a unit as many times as large; rates are powers of two, so that every product is exact
RATE = 2.0**-13
# What is quote by its name, and what is not compared.
IN_QUOTE = {"capital", "equity", "cash", "exposure", "pnl", "fees", "slippage", "spread", "funding", "risk", "notional", "amount",
    "balance", "equity_before", "pnl_optimistic", "entry_price", "exit_price", "stop_price", "target_price", "mae_price", "mfe_price",
    "last_stop_price"}  # fmt: skip
APART = {"config", "markets", "tapes", "timings", "digest", "quote", "conventions", "candles", "trials"}


def run(folder: Path, scale: float, **account: Any) -> Result:
    """Return a replay of two months of a perpetual with margin and funding, at prices around a hundred times the scale."""
    rows = random_candles(1_400, 5, "1h")
    for name in ("open", "high", "low", "close"):
        rows[name] = np.round(rows[name] * 4.0) * (0.25 * scale)
    frame = pd.DataFrame(rows)
    rates = pd.DataFrame({"fundingTime": frame["open_ms"][::8] + 0, "fundingRate": RATE})
    folder.mkdir()
    rates.to_csv(folder / "funding.csv", index=False)
    frame["time"] = pd.to_datetime(frame["open_ms"], unit="ms", utc=True)
    return backtest(
        frame.set_index("time")[["open", "high", "low", "close", "volume"]], strategy="ema_cross", use_ml=False,
        account={"capital": 1e4 * scale, "sizing": "fraction", "leverage_cap": 4.0, "fixed_fraction": 2.0, **account},
        market={
            "kind": "perpetual", "leverage": 8.0, "tick_size": 0.25 * scale, "lot_size": 2.0**-10, "taker_fee_rate": 4 * RATE,
            "half_spread_rate": RATE, "slippage_rate": RATE,
        },
        funding={"TABLE": folder / "funding.csv"}, report={"random_draws": 20},
    )  # fmt: skip


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Result, Result]:
    folder = tmp_path_factory.mktemp("unit")
    return run(folder / "small", 1.0), run(folder / "large", COARSER, quote="IDR", money_decimals=3)


def differing(one: Any, two: Any, path: str = "", *, is_quote: bool = False) -> list[str]:
    """Return where two summaries differ: quote by the factor, everything else not at all."""
    if isinstance(one, dict):
        assert one.keys() == two.keys(), path
        names = [name for name in one if path or name not in APART]
        return [
            line
            for n in names
            for line in differing(
                one[n],
                two[n],
                f"{path}.{n}",
                is_quote=n.endswith("_quote") or n in {"capital", "final_equity"},
            )
        ]
    if isinstance(one, list | tuple):
        assert len(one) == len(two), path
        return [
            line
            for k, pair in enumerate(zip(one, two, strict=True))
            for line in differing(*pair, f"{path}[{k}]")
        ]
    if isinstance(one, float) and isinstance(two, float):
        is_same = two == pytest.approx(one * (COARSER if is_quote else 1.0), rel=1e-9, abs=1e-12)
        return [] if is_same else [f"{path}: {one} and {two}"]
    return [] if one == two else [f"{path}: {one!r} and {two!r}"]


def test_every_figure_of_a_summary_is_the_same_or_as_many_times_the_quote(
    pair: tuple[Result, Result],
) -> None:
    small, large = pair

    assert small.metrics["trades"] > 10
    assert small.summary["metrics"]["funding_quote"] != 0.0
    assert differing(small.summary, large.summary) == []
    said = [line for line in large.summary["conventions"] if line not in small.summary["conventions"]]
    assert said == ["Amounts are counted in units of 1e-3 IDR, and each is rounded to one."]


@pytest.mark.parametrize("table", ["trades", "equity", "statement"])
def test_so_is_every_column_of_its_tables(pair: tuple[Result, Result], table: str) -> None:
    one, two = (getattr(result, table) for result in pair)

    assert list(one.columns) == list(two.columns)
    for name in one.columns:
        if one[name].dtype.kind == "f":
            scale = COARSER if name in IN_QUOTE else 1.0
            np.testing.assert_allclose(one[name] * scale, two[name], rtol=1e-12, atol=1e-9, err_msg=name)
        else:
            assert one[name].tolist() == two[name].tolist(), name


def test_its_page_shows_as_many_decimals_as_its_money_has(pair: tuple[Result, Result]) -> None:
    config = pair[0].summary["config"]

    def places(**account: Any) -> Any:
        summary = {**pair[0].summary, "config": {**config, "account": config["account"] | account}}
        return money_places(summary)

    assert (places(), places(quote="VND"), places(money_decimals=1), places(money_decimals=0)) == (2, 0, 1, 0)


@pytest.mark.parametrize("decimals", [0, None])
def test_a_saved_result_stays_in_the_unit_that_it_was_made_in(
    decimals: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever another version says of the currency; None: nothing."""
    made = backtest(
        tapes=[Tape(random_candles(300, 5, "1h"), "test", "X", "1h", source="made in a test")],
        strategy="ema_cross",
        use_ml=False,
        account={"capital": 2e9, "quote": "IDR", "sizing": "all_in"},
        report={"sensitivity": False, "random_draws": 0},
    )
    folder = made.save(tmp_path / "out")
    before = result_statement(folder)
    assert (before.units_per_quote, before.postings["amount"][0]) == (100.0, -200_000_000_000)
    assert len(before.postings) > 10

    # As a version saved it that did not say the unit, while the currency is what it was.
    path = folder / "result.json"
    text = path.read_text(encoding="utf-8")
    summary = json.loads(text)
    summary["config"]["account"]["money_decimals"] = None
    path.write_text(json.dumps(summary), encoding="utf-8")
    assert verify(folder).is_equal
    assert result_statement(folder).postings.tolist() == before.postings.tolist()
    path.write_text(text, encoding="utf-8")

    if decimals is None:
        monkeypatch.delitem(CURRENCY_DECIMALS, "IDR")
    else:
        monkeypatch.setitem(CURRENCY_DECIMALS, "IDR", decimals)
    after = result_statement(folder)
    assert (after.units_per_quote, after.curve_cash) == (100.0, after.cash)
    assert after.postings.tolist() == before.postings.tolist()
    assert verify(folder).is_equal


def test_its_report_draws_the_same_curve(pair: tuple[Result, Result]) -> None:
    (times, one), (_, two) = (curve_of(result.marks) for result in pair)

    np.testing.assert_allclose(one * COARSER, two, rtol=1e-12)
    assert len(times) == len(pair[0].marks)


def test_it_is_saved_verified_and_balances(pair: tuple[Result, Result], tmp_path: Path) -> None:
    folder = pair[1].save(tmp_path / "large")
    booked = result_statement(folder)

    assert (booked.cash, booked.units_per_quote) == (booked.curve_cash, 1e3)
    assert booked.cash == int(pair[0].marks["cash"][-1])  # the same integers
    assert verify(folder).is_equal


def test_capital_beyond_the_unit_is_one_sentence_with_the_way_out() -> None:
    with pytest.raises(
        ConfigError,
        match=r"account: capital: 1e\+15 is not between 0 and 1e\+09 USDT, .*; money_decimals = 2",
    ):
        make_config({"account": {"capital": 1e15}})

    assert make_config({"account": {"capital": 1e15, "quote": "IDR"}}).account.decimals == 2
