"""The figures that stand first, in a terminal and in a notebook: label, name of the metric, and how it is written."""

from typing import Final

FIGURES: Final = (
    ("total return", "total_return", "percent"),
    ("buy and hold", "buy_and_hold_return", "percent"),
    ("annualised return", "cagr", "percent"),
    ("Sharpe", "sharpe", "number"),
    ("Sortino", "sortino", "number"),
    ("max drawdown", "max_drawdown", "percent"),
    ("trades", "trades", "count"),
    ("win rate", "win_rate", "percent"),
    ("profit factor", "profit_factor", "number"),
    ("expectancy", "expectancy_r", "R"),
    ("exposure", "exposure", "percent"),
    ("costs of gross profit", "costs_share_of_gross", "percent"),
)


def written(value: float, kind: str) -> str:
    """Return a figure as text; kind: percent, signed, number, count or R."""
    if kind in ("percent", "signed"):
        return f"{value:+.2%}" if value < 0 or kind == "signed" else f"{value:.2%}"
    if kind == "count":
        return f"{int(value):,}"
    return f"{value:.2f} R" if kind == "R" else f"{value:.2f}"
