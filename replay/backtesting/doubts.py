"""What a reader must know of a result: candles and series, warnings, notes, locks, refusals, orders that fell short, no trade."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from papertape.engine.broker.working.orders import BY_FUNDS, BY_LIMIT, BY_POST_ONLY, BY_RUIN, CAUSE_NAMES
from papertape.engine.candles import FLAG_ABSENT, FLAG_NAMES, FLAG_SYNTHETIC
from papertape.engine.jit import Rows
from papertape.engine.performance.standing import Standing
from papertape.engine.records import AMBIGUOUS_TOGETHER, REASON_LIQUIDATION
from papertape.engine.spec import EngineSpec, Market
from papertape.replay.config import Config
from papertape.replay.config.series import RecordedSeries, recorded_series
from papertape.replay.config.spec import make_spec
from papertape.replay.events.series import FundingUse
from papertape.replay.tapes.quality import Brief, brief, counted
from papertape.replay.tapes.tape import Tape
from papertape.replay.tapes.timestamps import utc_text

# Ends of orders that nobody asked for.
_FELL_SHORT: Final = frozenset(CAUSE_NAMES[code] for code in (BY_FUNDS, BY_POST_ONLY, BY_RUIN, BY_LIMIT))

_MOST_CHANGES: Final = 5  # of markets that are told one by one


def doubts(summary: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know of a result, as terminal and report say it: warnings, notes, refusals, no trade."""
    said = [*summary["warnings"], *summary["notes"], *limits_doubts(summary.get("limits", {}))]
    said += market_doubts(summary.get("market_changes", []))
    said += [_read(lock) for lock in summary.get("holdout", ())]
    refused = summary["refusals"].items()
    said += [f"{counted(count, 'decision')} refused: {reason}" for reason, count in refused]
    ended = {what.partition(": ")[::2]: n for what, n in summary.get("orders", {}).items()}
    said += [
        f"{counted(count, 'order')} {what}: {why}"
        for (what, why), count in ended.items()
        if what == "refused" or why in _FELL_SHORT
    ]
    if not summary["metrics"]["trades"]:
        why = "every entry was refused" if summary["refusals"] else "no entry was ever decided"
        said.append(f"No trade was made: {why}.")
    return said


def market_doubts(changes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return when which market became another on the way, the first of them, from the section of result.json."""
    said = [
        f"{one['symbol']}: another market from {utc_text(one['time_ms'])} on: {one['what']}."
        for one in changes[:_MOST_CHANGES]
    ]
    left = len(changes) - len(said)
    return [*said, f"Markets changed {left:,} more times."] if left else said


def _read(lock: Mapping[str, Any]) -> str:
    """Return what a reader must know of a holdout that a result has read."""
    before = counted(lock["seen"], "trial")
    return (
        f"This is the one reading of the candles of {lock['symbol']} from {utc_text(lock['start_ms'])} on, which were held out "
        f"since {utc_text(lock['time_ms'])[:16]}; {before} on record, on this very tape, had seen some of them before."
    )


def limits_doubts(section: dict[str, Any]) -> list[str]:
    """Return what a reader must know of the limits that were met, from the section of result.json."""
    if not section:
        return []
    said = [f"{counted(n, 'lock')} by the limit on {name}." for name, n in section["counts"].items()]
    last = section["newest"][-1]
    if last["until_ms"] is None:
        said.append(
            f"LOCKED since {utc_text(last['time_ms'])} by the limit on {last['limit']}: nothing was opened after that, for "
            "nobody resumed (limits.drawdown_lock_days ends such a lock)."
        )
    return said


def liquidation_sentences(trades: Rows, spec: EngineSpec, recorded: RecordedSeries) -> list[str]:
    """Return what a reader must know of margin: what it is tested on, and how often it was lost."""
    is_cross = spec.settings.margin == "cross"
    held = [
        m.symbol
        for m in spec.markets
        if (m.leverage > 0.0 or is_cross) and m.is_perpetual and not m.read_only
    ]
    if not held:
        return []
    said = []
    if traded := [s for s in held if is_cross or recorded.without_marks(s) is None]:
        said.append(
            f"{', '.join(traded)}: liquidation is tested on traded prices, high and low of each candle; "
            + ("cross margin reads no mark series." if is_cross else "there is no mark series.")
        )
    for symbol in held:
        n_without = 0 if is_cross else recorded.without_marks(symbol) or 0
        if n_without:
            said.append(
                f"{symbol}: {counted(n_without, 'candle')} without a mark price: liquidation is tested on traded prices there."
            )
    n = int(np.count_nonzero(trades["exit_reason"] == REASON_LIQUIDATION))
    together = int(np.count_nonzero(trades["is_ambiguous"] & AMBIGUOUS_TOGETHER))
    if together:
        said.append(
            f"{counted(together, 'position')} went at extremes of several symbols in one candle, which need not have been at one "
            "time; a finer base timeframe knows more."
        )
    lost = "the account's margin" if is_cross else "the whole margin"
    return [f"LIQUIDATED: {counted(n, 'position')} lost {lost}.", *said] if n else said


def data_sentences(config: Config, tapes: Sequence[Tape]) -> list[str]:
    """Return what a reader must know of the candles and series of a configuration, whoever replays them and how often."""
    ordered = sorted(tapes, key=lambda tape: tape.symbol)
    cuts = [tape.between(config.data.start, config.data.end) for tape in ordered]
    spec = make_spec(config, ordered)
    recorded = recorded_series(config, spec, [cut.candles for cut in cuts])
    qualities = [brief(cut.candles, cut.timeframe) for cut in cuts]
    said = [*synthetic_sentences(qualities), *flag_sentences(cuts, qualities)]
    if config.data.gaps == "absent":
        stand = f"stand as absent: flat, flag {FLAG_ABSENT}, no fills"
    else:
        stand = "are left out"
    said += [
        f"{cut.symbol}: {quality.missing:,} of {len(cut.candles) + quality.missing:,} candles were not recorded and {stand}."
        for cut, quality in zip(cuts, qualities, strict=True)
        if quality.missing
    ]
    return said + series_sentences(ordered, spec.markets, recorded)


def synthetic_sentences(qualities: Sequence[Brief]) -> list[str]:
    """Return whether candles were never traded anywhere."""
    if any(FLAG_NAMES[FLAG_SYNTHETIC] in quality.flags for quality in qualities):
        return ["SYNTHETIC DATA: some or all of these candles were never traded anywhere."]
    return []


def flag_sentences(tapes: Sequence[Tape], qualities: Sequence[Brief]) -> list[str]:
    """Return how many candles carry which flag, by tape."""
    return [
        f"{tape.symbol}: flagged candles: {', '.join(f'{n:,} {name}' for name, n in quality.flags.items())}."
        for tape, quality in zip(tapes, qualities, strict=True)
        if quality.flags
    ]


def series_sentences(
    tapes: Sequence[Tape], markets: Sequence[Market], recorded: RecordedSeries, *, is_paid: bool = False
) -> list[str]:
    """Return where funding is missing, and what series are another venue's or were not known; is_paid: some funding was paid."""
    funding, said = recorded.funding, []
    is_perpetual = any(market.is_perpetual and not market.read_only for market in markets)
    if is_perpetual and not funding and not is_paid:
        said.append(
            "No funding is included: positions on perpetuals neither paid nor received any; data.funding takes files of "
            "rates by symbol."
        )
    said += [line for use in funding for line in use.sentences()]
    said += _without_funding(markets, funding)
    return said + venue_sentences(tapes, recorded) + recorded.sentences()


def _without_funding(markets: Sequence[Market], funding: Sequence[FundingUse]) -> list[str]:
    """Return which perpetuals neither paid nor received funding, where others did."""
    given = {use.symbol for use in funding}
    others = [m.symbol for m in markets if m.is_perpetual and not m.read_only]
    without = [symbol for symbol in others if symbol not in given] if given else []
    return [f"{symbol}: no funding is included; data.funding names no rates of it." for symbol in without]


def venue_sentences(tapes: Sequence[Tape], recorded: RecordedSeries) -> list[str]:
    """Return which files of series say that they are another venue's than the candles, as binance is that of binance-spot."""
    venues = {tape.symbol: tape.venue for tape in tapes}
    said = []
    for use in recorded.others:
        ours = venues[use.symbol]
        others = [venue for venue in use.file.venues if _family(venue) != _family(ours)]
        if others:
            said.append(
                f"{use.symbol}: {use.file.name} says that it is of {', '.join(others)}; the candles are of {ours}."
            )
    return said


def _family(venue: str) -> str:
    """Return whose a venue is: binance-usdm and Binance Futures are binance's."""
    return re.split("[^a-z0-9]", venue.strip().lower())[0]


def with_standing(summary: dict[str, Any], standing: Standing) -> None:
    """Write how a result stands among all trials into its summary: a section of its own, for metrics are of the run alone."""
    metrics = summary["metrics"]
    summary["trials"] = standing.section(metrics)
    summary["doubts"] = [*doubts(summary), *standing.sentences(metrics)]
