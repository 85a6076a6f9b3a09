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


_BY_METRIC: Final = {metric: (label, kind) for label, metric, kind in FIGURES}


def figure(metric: str) -> tuple[str, str]:
    """Return the label and kind of a metric; one that is no figure is a number of its own name."""
    return _BY_METRIC.get(metric, (metric, "number"))


def written(value: float | None, kind: str) -> str:
    """Return a figure as text; kind: percent, signed, number, count or R."""
    if value is None:
        return "–"
    if kind in ("percent", "signed"):
        return f"{value:+.2%}" if value < 0 or kind == "signed" else f"{value:.2%}"
    if kind == "count":
        return f"{int(value):,}"
    return f"{value:.2f} R" if kind == "R" else f"{value:.2f}"
