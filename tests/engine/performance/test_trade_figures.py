"""Sums, counts and columns of trades, against whole numbers of Python and plain lists."""

from itertools import groupby

import numpy as np

from papertape.engine.jit import Rows
from papertape.engine.performance.trade_figures import TradeFigures
from papertape.engine.records import AMBIGUOUS_ENTRY, REASON_END, TRADE

LARGE = 1 << 62  # two of them are beyond int64


def trades(n: int, seed: int) -> Rows:
    rng = np.random.default_rng(seed)
    rows = np.zeros(n, TRADE)
    for name in ("pnl", "pnl_optimistic", "fees", "spread", "slippage", "funding"):
        rows[name] = rng.integers(-LARGE, LARGE, n)
    rows["pnl"][rng.random(n) < 0.1] = 0
    rows["notional"] = rng.integers(0, LARGE, n)
    rows["risk"] = rng.integers(0, 3, n) * 700
    rows["side"] = rng.choice([-1, 1], n)
    rows["exit_reason"] = rng.choice([REASON_END, 1, 2], n)
    rows["is_ambiguous"] = rng.choice([0, 1, AMBIGUOUS_ENTRY], n)
    rows["entry_ms"] = rng.integers(0, 1_000_000, n)
    rows["exit_ms"] = rows["entry_ms"] + rng.integers(0, 50, n) * 1_000  # some at once, and not in order
    for name in ("entry_price", "exit_price", "quantity"):
        rows[name] = rng.uniform(1.0, 2.0, n)
    rows["mae_price"], rows["mfe_price"] = -rng.random(n), rng.random(n)
    return rows


def longest(signs: list[int], sign: int) -> int:
    return max((len(list(run)) for one, run in groupby(signs) if one == sign), default=0)


def test_sums_are_exact_beyond_64_bits() -> None:
    rows = trades(500, 1)
    listed = {name: rows[name].tolist() for name in TRADE.names or ()}
    pnl = listed["pnl"]

    found = TradeFigures(rows).sums

    for name in ("pnl", "pnl_optimistic", "notional", "fees", "spread", "slippage", "funding"):
        assert found[name] == sum(listed[name]), name
    assert found["notional"] > 1 << 63
    assert found["gained"] == sum(value for value in pnl if value > 0)
    assert found["lost"] == sum(value for value in pnl if value < 0)
    unproven = [k for k, kind in enumerate(listed["is_ambiguous"]) if kind & AMBIGUOUS_ENTRY]
    assert found["unproven"] == sum(pnl[k] + listed["risk"][k] for k in unproven)


def test_counts_and_runs_are_those_of_the_exits_in_order() -> None:
    rows = trades(500, 2)
    signs = [(pnl > 0) - (pnl < 0) for pnl in rows["pnl"].tolist()]
    by_exit = [signs[k] for k in sorted(range(500), key=lambda k: rows["exit_ms"][k])]

    found = TradeFigures(rows).counts

    assert found == {
        "longs": (rows["side"] == 1).sum(),
        "shorts": (rows["side"] == -1).sum(),
        "open": (rows["exit_reason"] == REASON_END).sum(),
        "wins": signs.count(1),
        "losses": signs.count(-1),
        "ambiguous": (rows["is_ambiguous"] != 0).sum(),
        "unproven_trades": (rows["is_ambiguous"] == AMBIGUOUS_ENTRY).sum(),
        "with_risk": (rows["risk"] > 0).sum(),
        "longest_wins": longest(by_exit, 1),
        "longest_losses": longest(by_exit, -1),
    }
    assert longest(by_exit, 1) != longest(signs, 1)


def test_columns_are_those_of_the_records() -> None:
    rows = trades(100, 3)
    has_risk, is_open = rows["risk"] > 0, rows["exit_reason"] == REASON_END

    found = TradeFigures(rows).columns

    assert np.array_equal(found["duration_s"], (rows["exit_ms"] - rows["entry_ms"]) / 1000.0)
    assert np.array_equal(found["mae"], rows["mae_price"] / rows["entry_price"])
    assert np.array_equal(found["mfe"], rows["mfe_price"] / rows["entry_price"])
    assert np.array_equal(found["quantity"], rows["quantity"])
    assert np.array_equal(found["exit_price"], np.where(is_open, 0.0, rows["exit_price"]))
    assert np.array_equal(found["multiple"], (rows["pnl"] / rows["risk"].clip(1))[has_risk])


def test_without_a_trade_everything_is_nothing() -> None:
    found = TradeFigures(np.zeros(0, TRADE))

    assert not any((*found.sums.values(), *found.counts.values()))
    assert [len(column) for column in found.columns.values()] == [0] * 6
