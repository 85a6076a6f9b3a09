"""Doubts about what every figure is made from: candles that are synthetic, flagged or missing, funding that nobody has."""

from collections.abc import Sequence

from papertape.engine.candles import FLAG_ABSENT, FLAG_NAMES, FLAG_SYNTHETIC
from papertape.engine.spec import Market
from papertape.replay.backtesting.doubts import venue_sentences
from papertape.replay.config import Config
from papertape.replay.config.series import RecordedSeries, recorded_series
from papertape.replay.config.spec import make_spec
from papertape.replay.events.series import FundingUse
from papertape.replay.tapes.quality import Brief, brief
from papertape.replay.tapes.tape import Tape


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
    tapes: Sequence[Tape],
    markets: Sequence[Market],
    recorded: RecordedSeries,
    *,
    is_paid: bool = False,
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
    return [f"{symbol}: no funding is included; data.funding names no rates of it." for symbol in without]  # fmt: skip
