"""Market specifications: from data, overridden by the configuration, never from code."""

import re
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib import resources
from typing import Any, Final

from papertape.engine.spec import Market
from papertape.replay.config import Config
from papertape.replay.config.market_settings import MarketSettings
from papertape.replay.tapes.store import Tape

_BY_BRACKETS: Final = ("maintenance_rate", "maintenance_slope", "initial_rate", "initial_slope")
_BY_QUOTE: Final = "minimum_notionals"  # of a venue: quote → smallest notional


@cache
def _known() -> dict[str, dict[str, Any]]:
    text = resources.files(__package__).joinpath("markets.toml").read_text(encoding="utf-8")
    return {name: _checked(values) for name, values in tomllib.loads(text).items()}


def _smallest_notional(symbol: str, by_quote: Mapping[str, float]) -> float:
    """Return the smallest notional of a market by the quote that its symbol ends with; 0 where none is known."""
    pair = re.sub("[^0-9A-Z]", "", symbol.upper().partition(":")[0])
    pair = pair.removesuffix("SWAP").removesuffix("PERP")
    quotes = [quote for quote in by_quote if pair.endswith(quote) and pair != quote]
    return by_quote[max(quotes, key=len)] if quotes else 0.0


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return values after the same checks that a configuration goes through, minima by quote beside them."""
    by_quote = values.pop(_BY_QUOTE, None)
    checked = MarketSettings.model_validate(values).model_dump(exclude_none=True)
    return checked if by_quote is None else {**checked, _BY_QUOTE: by_quote}


def market_for(tape: Tape, config: Config) -> Market:
    """Return what is known of the market of a tape."""
    return market_of(tape.venue, tape.symbol, tape.kind, config)


def market_of(
    venue: str, symbol: str, kind: str, config: Config, told: Mapping[str, Any] | None = None
) -> Market:
    """
    Return what is known of a market.

    kind  spot, linear or inverse; told: what the venue itself says

    The later wins: the kind, engine defaults, the venue, the venue's symbol, told, [market], [markets.SYMBOL].
    """
    values: dict[str, Any] = {"kind": "spot" if kind == "spot" else "perpetual"}
    for name in (venue, f"{venue}:{symbol}"):
        values |= _known().get(name, {})
    by_quote = values.pop(_BY_QUOTE, {})
    values.setdefault("minimum_notional", _smallest_notional(symbol, by_quote))
    values |= dict(told or {})
    own = config.market.model_dump(exclude_none=True)
    if symbol in config.markets:
        own |= config.markets[symbol].model_dump(exclude_none=True)
    if own.get("brackets"):  # they take the place of what others say of the same
        values = {name: value for name, value in values.items() if name not in _BY_BRACKETS}
    values |= own
    kind = values.pop("kind")
    return Market(symbol=symbol, is_perpetual=kind == "perpetual", **values)
