"""
What a ccxt venue says of a market, as an account has it: steps, minima, fees, and leverage by size.

Sizes are in base units, whatever a contract is. Steps are taken where the venue's precision is a step (`TICK_SIZE`), which is
so for all but a few. Tables of leverage are asked for where the venue gives them without keys.

Source: ccxt manual, "Market structure", "Precision and limits" and "Leverage Tiers Structure" (4.5.90).
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from pydantic import ValidationError

from papertape.engine.broker.risk.brackets import Bracket, check_brackets
from papertape.engine.errors import ConfigError
from papertape.replay.config.market_settings import BracketSettings
from papertape.replay.sources.ccxt_errors import library_errors
from papertape.replay.sources.errors import RestRefused, RestUnavailable

_TICK_SIZE: Final = 4  # ccxt.TICK_SIZE


class CcxtSaid(NamedTuple):
    """What a venue says of one market: ccxt's structure of it, and its tiers of leverage; None: it does not answer about them."""

    market: Mapping[str, Any]
    tiers: Sequence[Any] | None = ()
    is_stepped: bool = True


def said_of(exchange: Any, market: Mapping[str, Any], tiers: Sequence[Any] | None = ()) -> CcxtSaid:
    """Return what an exchange object says of a market of its catalogue."""
    return CcxtSaid(market, tiers, getattr(exchange, "precisionMode", 0) == _TICK_SIZE)


async def leverage_tiers(
    exchange: Any, call: Callable[..., Awaitable[Any]], symbols: Sequence[str]
) -> AsyncIterator[tuple[str, Sequence[Any]]]:
    """
    Yield each unified symbol and its tiers of leverage as the venue gives them to anybody, empty where it does not.

    Raises RestUnavailable where it does not answer, which says nothing of whether it has any, nor of what it has answered.
    """
    found: Mapping[str, Sequence[Any]] = {}
    is_one_by_one = False
    if symbols and exchange.has.get("fetchLeverageTiers") is True:
        found = await _tiers(call, "fetch_leverage_tiers", list(symbols), dict)
    else:
        is_one_by_one = exchange.has.get("fetchMarketLeverageTiers") is True
    for symbol in symbols:
        if is_one_by_one:
            yield symbol, await _tiers(call, "fetch_market_leverage_tiers", symbol, list) or ()
        else:
            yield symbol, found.get(symbol) or ()


async def _tiers(call: Callable[..., Awaitable[Any]], method: str, argument: Any, shape: type) -> Any:
    """Return what a method answers, which is of a type; an empty one where it is for others, or not there, for good."""
    try:
        answer = await call(method, argument)
    except RestRefused:
        return shape()
    except RestUnavailable as error:
        if isinstance(error.__cause__, library_errors().keys):
            return shape()
        raise
    if not isinstance(answer, shape):
        raise RestUnavailable(f"{method}: the answer is {answer!r:.40}, which is no {shape.__name__}")
    return answer


def ccxt_figures(said: CcxtSaid) -> dict[str, Any]:
    """
    Return what is said of a market as `papertape.engine.spec.Market` has it; what is not said is left out.

    `brackets` is None where the venue does not answer about tiers: without them it would seem to have none.
    """
    market, limits = said.market, _part(said.market, "limits")
    size = 1.0 if market.get("spot") else _number(market.get("contractSize")) or 1.0
    found = {
        "taker_fee_rate": _number(market.get("taker")),
        "maker_fee_rate": _number(market.get("maker")),
        "minimum_size": size * _number(_part(limits, "amount").get("min")),
        "minimum_notional": _number(_part(limits, "cost").get("min")),
    }
    if said.is_stepped:
        precision = _part(market, "precision")
        found["tick_size"] = _number(precision.get("price"))
        found["lot_size"] = size * _number(precision.get("amount"))
    if not market.get("spot"):
        found["maximum_leverage"] = _number(_part(limits, "leverage").get("max"))
    told: dict[str, Any] = {name: value for name, value in found.items() if value > 0.0}
    if said.tiers is None:
        return told | {"brackets": None}
    brackets = [] if market.get("spot") else _brackets(said.tiers)
    return told | ({"brackets": brackets} if brackets else {})


def _brackets(tiers: Sequence[Any]) -> list[Bracket]:
    """Return tiers as rows of a table, none where they are no table that can be."""
    try:
        rows = [BracketSettings.model_validate(row).model_dump() for row in tiers]
        found = [Bracket(**row) for row in rows]
        if found:
            check_brackets("tiers", found)
    except (ConfigError, ValidationError):
        return []
    return found


def _part(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = values.get(name)
    return part if isinstance(part, Mapping) else {}


def _number(value: Any) -> float:
    """Return a number that is above zero and finite, 0 for anything else."""
    is_one = isinstance(value, int | float) and 0.0 < value < 1e18
    return float(value) if is_one else 0.0
