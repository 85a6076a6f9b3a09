"""Market specifications: from data, overridden by the configuration, never from code."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib import resources
from operator import attrgetter
from typing import Any, Final

from papertape.engine.broker.risk.changes import refuse_other_market
from papertape.engine.errors import ConfigError, DataError
from papertape.engine.events import MarketChange
from papertape.engine.spec import EngineSpec, Market, market_rows
from papertape.replay.config import Config
from papertape.replay.config.market_settings import MarketSettings
from papertape.replay.tapes.store import Tape, time_ms

_BY_BRACKETS: Final = ("maintenance_rate", "maintenance_slope", "initial_rate", "initial_slope")
_DOLLARS: Final = ("USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD")
_OTHER_QUOTES: Final = (
    "EUR", "GBP", "JPY", "TRY", "BRL", "AUD", "CAD", "CHF", "INR", "IDR", "KRW", "VND", "BTC", "XBT", "ETH", "BNB"
)  # fmt: skip
_BY_QUOTE: Final = "minimum_notionals"  # of a venue: quote → smallest notional


@cache
def _known() -> dict[str, dict[str, Any]]:
    text = resources.files(__package__).joinpath("markets.toml").read_text(encoding="utf-8")
    return {name: _checked(values) for name, values in tomllib.loads(text).items()}


def _quote_of(symbol: str, known: Iterable[str]) -> str:
    """Return the quote, of those that are known, that a symbol ends with; "" where it is none of them."""
    pair = re.sub("[^0-9A-Z]", "", symbol.upper().partition(":")[0])
    pair = pair.removesuffix("SWAP").removesuffix("PERP")
    quotes = [quote for quote in known if pair.endswith(quote) and pair != quote]
    return max(quotes, key=len, default="")


def refuse_other_money(markets: Sequence[Market], kinds: Mapping[str, str] | None = None) -> None:
    """
    Raise ConfigError for what one account cannot trade: an inverse contract, or markets of several quote currencies.

    kinds  spot, linear or inverse, by symbol

    A dollar and the coins that stand for one are one currency here. What only features read is not traded.
    """
    first: dict[str, str] = {}
    for market in markets:
        if market.read_only:
            continue
        if (kinds or {}).get(market.symbol) == "inverse":
            raise ConfigError(
                f"{market.symbol}: it is an inverse contract, which pays in its coin; only spot and linear contracts are traded"
            )
        quote = _quote_of(market.symbol, (*_DOLLARS, *_OTHER_QUOTES))
        if quote:
            first.setdefault("dollars" if quote in _DOLLARS else quote, market.symbol)
    if len(first) > 1:
        (one, a), (other, b) = list(first.items())[:2]
        raise ConfigError(
            f"{a} is quoted in {one} and {b} in {other}, and an account has one currency; give each an account of its own, or "
            f"say markets.{b}.read_only = true"
        )


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """Return values after the same checks that a configuration goes through, minima by quote beside them."""
    by_quote = values.pop(_BY_QUOTE, None)
    checked = MarketSettings.model_validate(values).figures
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
    quote = _quote_of(symbol, by_quote)
    values.setdefault("minimum_notional", by_quote[quote] if quote else 0.0)
    own = own_figures(config, symbol)
    said = dict(told or {})
    if says_margins(own):
        said.pop("brackets", None)
    values |= said
    if own.get("brackets") or said.get("brackets"):  # they take the place of what others say of the same
        values = {name: value for name, value in values.items() if name not in _BY_BRACKETS}
    values |= own
    kind = values.pop("kind")
    return Market(symbol=symbol, is_perpetual=kind == "perpetual", **values)


def own_figures(config: Config, symbol: str) -> dict[str, Any]:
    """Return what a configuration says of a market itself."""
    own = config.markets.get(symbol)
    return config.market.figures | (own.figures if own is not None else {})


def says_margins(own: Mapping[str, Any]) -> bool:
    """Return whether figures say what must be maintained, so that nobody's table of leverage counts beside them."""
    return any(own.get(name) for name in ("brackets", *_BY_BRACKETS))


def first_ms_of(config: Config, tapes: Sequence[Tape]) -> int:
    """Return from when on tapes are replayed, in ms: what is dated before it holds from the first candle on."""
    start = config.data.start
    first_ms = min(int(tape.candles["open_ms"][0]) for tape in tapes)
    return first_ms if start is None else max(first_ms, time_ms(start))


def market_at_first(config: Config, market: Market, first_ms: int) -> Market:
    """Return what a market has become by the rows `changes` that are dated before a first candle."""
    before = [after for ms, after in dated_markets(config, market) if ms < first_ms]
    return before[-1] if before else market


def market_changes(config: Config, spec: EngineSpec, first_ms: int = 0) -> list[tuple[int, MarketChange]]:
    """
    Return what becomes of the markets of a specification, and when in ms, as the rows `changes` of a configuration say.

    first_ms  what is dated before it is in the specification already (`market_at_first`)

    At one time the row of a symbol counts more than one of all. Raises ConfigError for a market that cannot be, or cannot come
    of the one before.
    """
    found = []
    for market in sorted(spec.markets, key=attrgetter("symbol")):
        number = spec.symbols.index(market.symbol)
        for start_ms, after in dated_markets(config, market):
            if start_ms >= first_ms:
                found.append((start_ms, MarketChange(start_ms, number, after.plain())))
    return found


def dated_markets(config: Config, market: Market) -> list[tuple[int, Market]]:
    """Return what becomes of one market by the rows `changes`, and when in ms, in order."""
    found = []
    for start_ms, where, figures in _dated(config, market.symbol):
        market = _became(where, market, figures)
        found.append((start_ms, market))
    return found


def _dated(config: Config, symbol: str) -> list[tuple[int, str, dict[str, Any]]]:
    """Return when something of a symbol changes, where it is written, and what it is then."""
    sections = {"market": config.market, f"markets.{symbol}": config.markets.get(symbol)}
    rows = [
        (int(row.start.timestamp() * 1000), f"{name}.changes.{number}", row.figures)
        for name, section in sections.items()
        if section is not None
        for number, row in enumerate(section.changes or ())
    ]
    return sorted(rows, key=lambda row: row[0])


def _became(where: str, before: Market, figures: Mapping[str, Any]) -> Market:
    """Return what a market is with other figures."""
    own = dict(figures)
    if own.get("brackets"):
        own = dict.fromkeys(_BY_BRACKETS, 0.0) | own
    try:
        market = replace(before, **own)
        refuse_other_market(before.symbol, *(market_rows([m], is_cross=False)[0] for m in (before, market)))
    except (ConfigError, DataError) as error:
        raise ConfigError(f"{where}: {error}") from error
    return market
