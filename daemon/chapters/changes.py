"""What a chapter may change of an account, and what another account is needed for."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from papertape.daemon.journal.identity import COSTS, Identity, deciding_changes, may_change
from papertape.engine.errors import ConfigError
from papertape.replay.config import Config
from papertape.replay.config.market_settings import MarketSettings
from papertape.replay.config.markets import dated_markets
from papertape.replay.tapes.tables import at_minute

_UNSAID: Final = MarketSettings().model_dump(mode="json")  # a market without a section of its own

Changes = dict[str, tuple[Any, Any]]


def changes_of(kept: Identity, now: Identity) -> Changes:
    """
    Return what a chapter changes, by path, with the value before and after; costs of one market by their own path.

    Raises ConfigError with everything that it may not change.
    """
    found: Changes = {}
    for path, (before, after) in deciding_changes(kept, now).items():
        if path.startswith("markets."):
            found.update(_of_market(path, before or _UNSAID, after or _UNSAID))
        else:
            found[path] = before, after
    refused = [_refusal(path, *values) for path, values in found.items() if not _is_free(path, values[1])]
    if (kept.symbols, kept.base_timeframe) != (now.symbols, now.base_timeframe):
        refused.append(
            f"symbols: {now.symbols} {now.base_timeframe} are not {kept.symbols} {kept.base_timeframe}"
        )
    if refused:
        rule = "a chapter changes strategy, account, limits, portfolio and what fills cost"
        raise ConfigError("\n".join([*refused, f"--chapter: {rule}; choose another --state for the rest"]))
    return found


def _of_market(
    path: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Yield what differs of one market's section."""
    for key in sorted({*before, *after}):
        if before.get(key) != after.get(key):
            yield f"{path}.{key}", (before.get(key), after.get(key))


def _is_free(path: str, after: Any) -> bool:
    """Return whether a chapter may give a key this value."""
    return bool(may_change(path)) and (after is not None or path.rpartition(".")[2] not in COSTS)


def _refusal(path: str, before: Any, after: Any) -> str:
    if path.rpartition(".")[2] in COSTS:
        return f"{path}: it was {before!r}; say what it is now, what the venue says is not asked again"
    return f"{path}: {after!r} is not {before!r}, and this stays what it is"


def changed_account(kept: Identity, now: Identity, changes: Changes, since_ms: int) -> Identity:
    """
    Return an account from a time on: with the configuration of now, and its markets with their costs of now.

    Raises ConfigError for a cost that a row `changes` of the configuration has said otherwise by then: it counts more.
    """
    markets = []
    for market in kept.markets:
        costs = costs_said(market.symbol, now.config, changes)
        after = replace(market, **costs)
        rows = [row for row in dated_markets(now.config, after) if row[0] <= since_ms]
        for time_ms, dated in rows[-1:]:  # each row holds with those before it
            for key in costs:
                if getattr(dated, key) != costs[key]:
                    raise ConfigError(
                        f"--chapter: {key} of {market.symbol}: {costs[key]!r} would not count, for a row `changes` makes it "
                        f"{getattr(dated, key)!r} from {at_minute(time_ms)} on; leave it as it was, or choose another --state"
                    )
        markets.append(after)
    return kept._replace(config=now.config, markets=tuple(markets), since_ms=since_ms)


def costs_said(symbol: str, config: Config, changes: Changes) -> dict[str, Any]:
    """Return the costs of a market that changed: its own section says more than that of all."""
    own = config.markets.get(symbol)
    costs: dict[str, Any] = {}
    for key in COSTS:
        said = None if own is None else getattr(own, key)
        if f"markets.{symbol}.{key}" in changes:
            costs[key] = said
        elif f"market.{key}" in changes and said is None:
            costs[key] = getattr(config.market, key)
    return costs
