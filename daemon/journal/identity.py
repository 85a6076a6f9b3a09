"""
What a state directory is about: the engine's specification, fixed when the journal begins.

The strategy of a running account, and the fees and ticks that it began with, are those it was opened with. A venue that
changes its markets later, or a configuration that would have decided otherwise, must not rewrite what was decided: the first is
an input of its own from then on (`papertape.daemon.feeds.told_markets`), the second is refused. Everything that the engine does
not see (ports, logs, jobs) may change at any start.
"""

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from papertape.engine.broker.ledger import unit_decimals
from papertape.engine.chapters import from_then_on
from papertape.engine.errors import ConfigError
from papertape.engine.spec import EngineSpec, Market
from papertape.replay.config import Config, make_config
from papertape.replay.config.learning import as_recorded
from papertape.replay.config.spec import spec_for
from papertape.replay.learning.settings import features_of
from papertape.replay.tapes.tables import at_minute

if TYPE_CHECKING:
    from papertape.engine.core import Engine

# What a fill costs of a market; the rest of it is the venue's.
COSTS: Final = (
    "taker_fee_rate",
    "maker_fee_rate",
    "fee_fixed",
    "fee_minimum",
    "fee_surcharge_rate",
    "half_spread_rate",
    "slippage_rate",
)

# What decides what the engine does, and whether a chapter of the account may change it; the first rule that fits counts.
# Capital and currency are what the ledger began with, margin what positions stand on.
_DECIDING: Final = (
    (False, ("account.capital", "account.quote", "account.money_decimals", "account.margin")),
    (True, ("account.*", "limits.*", "portfolio.*", "strategy.*")),
    (True, tuple(f"{section}.{key}" for section in ("market", "markets.*") for key in COSTS)),
    (False, ("market.*", "markets.*")),
    (False, ("live.venue", "live.symbols", "live.timeframe", "data.timeframe")),
    (False, ("signals.use_*", "signals.model_*", "signals.*_features")),
)


class Identity(NamedTuple):
    """
    What a journal is about.

    venue     where the candles come from, as tapes name it
    markets   one per symbol, as they were when the journal began
    since_ms  close from which on it is this account, where a chapter began there; 0: from the beginning
    chapter   its name
    """

    config: Config
    venue: str
    base_timeframe: str
    markets: tuple[Market, ...]
    since_ms: int = 0
    chapter: str = ""

    @property
    def spec(self) -> EngineSpec:
        """
        Return what the engine is built from: a fresh strategy each time, and features for models to come.

        It reports market structure, which a page draws and no decision depends on.
        """
        features = features_of(self.config, self.config.data.timeframe or self.base_timeframe)
        spec = spec_for(self.config, self.markets, self.base_timeframe).reading(features)
        spec = from_then_on(spec, self.since_ms) if self.since_ms else spec
        return dataclasses.replace(spec, events=True)

    @property
    def symbols(self) -> tuple[str, ...]:
        """Return the symbols in the engine's order."""
        return tuple(sorted(market.symbol for market in self.markets))

    @property
    def dropped(self) -> tuple[str, ...]:
        """Return the symbols of the account that the configuration no longer names; none when it names none."""
        named = self.config.live.symbols
        return tuple(symbol for symbol in self.symbols if named and symbol not in named)

    @property
    def digest(self) -> str:
        """Return a digest of the configuration, for those who compare daemons."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:16]

    def kind_of(self, symbol: str) -> str:
        """Return what a tape calls the market: spot or linear."""
        return "linear" if any(m.symbol == symbol and m.is_perpetual for m in self.markets) else "spot"

    def as_json(self) -> str:
        """Return everything as text for the journal."""
        return json.dumps(
            {
                "config": self.config.model_dump(mode="json"),
                "venue": self.venue,
                "base_timeframe": self.base_timeframe,
                "markets": [market.plain() for market in self.markets],
                **({"since_ms": self.since_ms, "chapter": self.chapter} if self.since_ms else {}),
            },
            sort_keys=True,
        )

    def counted_as(self, kept: "Identity") -> Self:
        """Return the same in the unit of an account that runs already, unless the configuration names one."""
        account, decimals = self.config.account, kept.config.account.decimals
        if account.money_decimals is not None or account.decimals == decimals:
            return self
        return self._replace(config=self.config.changed(account={"money_decimals": decimals}))

    @classmethod
    def from_json(cls, text: str, money_decimals: int) -> Self:
        """
        Return what `as_json` wrote.

        money_decimals  that the journal counts: what is said of a currency today may not be what was said when it began
        """
        values = json.loads(text)
        account = values["config"]["account"]
        capital, quote = account["capital"], account["quote"]
        if unit_decimals(capital, quote, account.get("money_decimals")) != money_decimals:
            account["money_decimals"] = money_decimals
        markets = tuple(Market(**market) for market in values["markets"])
        config = make_config(as_recorded(values["config"]), "the journal's configuration")
        since = int(values.get("since_ms", 0)), values.get("chapter", "")
        return cls(config, values["venue"], values["base_timeframe"], markets, *since)


def same_account(kept: Identity, now: Identity) -> list[str]:
    """
    Return what differs without consequence, in sentences: the venue's markets.

    A symbol may be left out, with its section of markets: it stays in the account and is not traded (`refuse_held`).

    Raises ConfigError with every key whose value would have decided otherwise.
    """
    changed = [
        f"{path}: {after!r} is not {before!r}, with which {_begun(kept)}"
        for path, (before, after) in deciding_changes(kept, now).items()
    ]
    if kept.symbols != now.symbols or kept.base_timeframe != now.base_timeframe:
        changed.append(
            f"symbols: {now.symbols} {now.base_timeframe} are not {kept.symbols} {kept.base_timeframe}"
        )
    if changed:
        raise ConfigError(
            "\n".join(
                [
                    *changed,
                    "choose another --state for another account, or begin a chapter of this one: --chapter NAME",
                ]
            )
        )
    return _changed_markets(kept.markets, now.markets)


def _begun(kept: Identity) -> str:
    """Return what made an account what it is, as the end of a sentence."""
    return f"its chapter of {at_minute(kept.since_ms)} began" if kept.since_ms else "the journal began"


def deciding_changes(kept: Identity, now: Identity) -> dict[str, tuple[Any, Any]]:
    """Return the keys whose value decides otherwise, in order of their paths, with the value before and after."""
    before, after = (_deciding(identity.config) for identity in (kept, now))
    named, dropped = now.config.live.symbols, set(kept.symbols) - set(now.config.live.symbols)
    if named and set(named) <= set(kept.symbols):
        for path in ("live.symbols", *(f"markets.{symbol}" for symbol in dropped)):
            before.pop(path, None)
            after.pop(path, None)
    return {
        path: (before.get(path), after.get(path))
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    }


def refuse_held(account: Identity, engine: "Engine") -> list[str]:
    """Return what is left out of the account, in sentences, or raise ConfigError when a position is held in it."""
    for symbol in account.dropped:
        held = float(engine.positions["quantity"][engine.symbols.index(symbol)])
        if held:
            raise ConfigError(
                f"live.symbols: {symbol} is missing, and the account holds {held:g} of it; "
                "name it again, flatten, and leave it out then"
            )
    return [
        f"{symbol} is no longer followed: its candles are absent and it is not traded"
        for symbol in account.dropped
    ]


def _changed_markets(kept: Sequence[Market], now: Sequence[Market]) -> list[str]:
    """Return what the venue changed about its markets since."""
    told = []
    by_symbol = {market.symbol: market for market in now}
    for market in kept:
        for field in dataclasses.fields(market):
            old, new = (getattr(m, field.name) for m in (market, by_symbol[market.symbol]))
            if old != new:
                told.append(f"{market.symbol}: {field.name} is {new} now; this account stays with {old}")
    return told


def _deciding(config: Config) -> dict[str, Any]:
    """Return the values that decide what the engine does, by path."""
    found = {
        path: value
        for section, values in config.model_dump(mode="json").items()
        for key, value in values.items()
        if may_change(path := f"{section}.{key}") is not None
    }
    return found | {"account.money_decimals": config.account.decimals}  # named or not


@cache
def may_change(path: str) -> bool | None:
    """Return whether a chapter may change a key of the configuration; None where it decides nothing of the account."""
    return next(
        (is_free for is_free, rules in _DECIDING if any(fnmatchcase(path, rule) for rule in rules)), None
    )
