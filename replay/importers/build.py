"""From a file to a tape: read, agree on what it is, clean, label."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from papertape.engine.candles import FLAG_SYNTHETIC
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.replay.importers.detect import read_raw
from papertape.replay.importers.options import EXCHANGES, Options
from papertape.replay.tapes.cleaning import Repairs, clean
from papertape.replay.tapes.quality import Quality, measure
from papertape.replay.tapes.raw import Raw, VolumeUnit, join_raws
from papertape.replay.tapes.tape import Tape
from papertape.replay.tapes.timestamps import find_timeframe

# Venues that count volume in contracts or in quote, as their documentation and the recordings say.
VENUE_VOLUME: dict[str, VolumeUnit] = {"okx-swap": "contracts", "delta-india": "contracts", "ftx": "quote"}
# Base units per contract: OKX, instruments, ctVal; Delta Exchange, products, contract_value.
CONTRACT_VALUES = {
    ("okx-swap", "BTC-USDT"): 0.01,
    ("okx-swap", "ETH-USDT"): 0.1,
    ("okx-swap", "SOL-USDT"): 1.0,
    ("delta-india", "BTCUSD"): 0.001,
    ("delta-india", "ETHUSD"): 0.01,
}
_LINEAR = ("-usdm", "-linear", "-swap", "delta-india", "-perp")


class Imported(NamedTuple):
    """A tape, how good its file was, and what was done to it."""

    tape: Tape
    quality: Quality  # of the file, as it stood
    repairs: Repairs
    dialect: str


def import_tape(
    paths: Path | Sequence[Path], options: Options | None = None, *, now_ms: int | None = None
) -> Imported:
    """
    Return the tape that one file, folder, or several files of one market make.

    now_ms  what the clock says; a candle whose end is later is not final, and one that begins later is refused

    Raises DataError for anything that must not be traded on, and when venue or symbol cannot be told.

    >>> from papertape.replay.importers.options import Options
    >>> rows = ["time,open,high,low,close,volume", "2024-01-01,1,2,1,2,5", "2024-01-02,2,3,2,3,6"]
    >>> _ = Path("mine.csv").write_text("\\n".join(rows))
    >>> made = import_tape(Path("mine.csv"), Options(venue="binance-spot", symbol="MINEUSDT"))
    >>> made.tape.candles["close"].tolist()
    [2.0, 3.0]
    """
    options = options or Options()
    chosen = [paths] if isinstance(paths, Path) else list(paths)
    return build_tape(join_raws([read_raw(path, options) for path in chosen]), options, now_ms=now_ms)


def market_key(raw: Raw, options: Options) -> tuple[object, ...]:
    """Return what files must share to become one tape."""
    venue = _whole_venue(options.venue, options.kind) or raw.venue
    symbol = options.symbol or raw.symbol
    return venue, symbol, _timeframe(raw, options), raw.dialect, raw.volume_unit, raw.contract_value


def raw_quality(raw: Raw, options: Options | None = None) -> Quality:
    """Return the quality of a file as it stands, without making a tape of it."""
    return measure(raw.candles, _timeframe(raw, options or Options()))


def build_tape(raw: Raw, options: Options, *, now_ms: int | None = None) -> Imported:
    """Return the tape of what a file says and the user says; see `import_tape`."""
    venue = _whole_venue(options.venue, options.kind) or raw.venue
    symbol = options.symbol or raw.symbol
    timeframe = _timeframe(raw, options)
    quality = measure(raw.candles, timeframe)
    if now_ms is None:
        now_ms = round(time.time() * 1000)
    candles, repairs = clean(
        raw,
        timeframe,
        keep=options.keep,
        drop_bad=options.drop_bad,
        now_ms=None if venue == "synthetic" else now_ms,  # made up, its dates too
    )
    if venue is None:
        raise DataError(
            f"{raw.name}: {raw.dialect} data does not say the venue; give --venue, for example "
            "--venue binance-spot"
        )
    if symbol is None:
        raise DataError(
            f"{raw.name}: {raw.dialect} data does not say the symbol; give --symbol, for example "
            "--symbol BTCUSDT"
        )
    volume_note = _to_base_units(candles, raw, options, venue, symbol)
    if venue == "synthetic":
        candles["flag_bits"] |= FLAG_SYNTHETIC
    notes = (*raw.notes, *([volume_note] if volume_note else []), *repairs.sentences())
    tape = Tape(
        candles,
        venue,
        symbol,
        timeframe,
        f"{raw.dialect}: {_source_name(raw)}",
        options.kind or raw.kind or kind_of(venue),
        notes,
        {**quality.as_dict(), "repairs": repairs._asdict()},
    )
    return Imported(tape, quality, repairs, raw.dialect)


def _timeframe(raw: Raw, options: Options) -> str:
    """Return the timeframe that the stamps have; what a file says of itself helps when it holds one candle."""
    if options.timeframe is not None:
        return find_timeframe(raw.candles["open_ms"], options.timeframe, raw.name)
    is_one = len(raw.candles) == 1
    return find_timeframe(raw.candles["open_ms"], raw.timeframe if is_one else None, raw.name)


def _source_name(raw: Raw) -> str:
    more = len(raw.parts) - 1
    return f"{raw.name} and {more} more" if more else raw.name


_MARKETS = {
    ("binance", "linear"): "usdm",
    ("binance", "inverse"): "coinm",
    ("okx", "linear"): "swap",
    ("okx", "inverse"): "swap",
}


def _whole_venue(venue: str | None, kind: str | None) -> str | None:
    """Return a bare exchange with its market, as tapes and `papertape tape fetch` name it: binance as binance-spot."""
    if venue not in EXCHANGES:
        return venue
    return f"{venue}-{_MARKETS.get((str(venue), str(kind)), kind or 'spot')}"


def kind_of(venue: str) -> str:
    """Return the kind of contract that a venue's name tells; spot if it tells none."""
    if venue.endswith("-coinm"):
        return "inverse"
    return "linear" if venue.endswith(_LINEAR) else "spot"


def _to_base_units(candles: Rows, raw: Raw, options: Options, venue: str, symbol: str) -> str:
    """Turn the volume into base units in place and return what was done."""
    unit = options.volume_unit or raw.volume_unit or VENUE_VOLUME.get(venue, "base")
    if unit == "base":
        return ""
    value = options.contract_value or raw.contract_value
    value = value or CONTRACT_VALUES.get((venue, symbol))
    if unit == "quote":
        # Only the close is known of the price at which volume traded; good to the candle's range.
        candles["volume"] *= (value or 1.0) / candles["close"]
        return f"volume turned from quote ({value or 1.0:g} each) into base units at each close"
    if value is None:
        raise DataError(
            f"{raw.name}: {venue} counts volume in contracts and the contract value of {symbol} is "
            "not known; give --contract-value (base units each)"
        )
    candles["volume"] *= value
    return f"volume turned from contracts of {value:g} into base units"
