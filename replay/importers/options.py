"""What a user may say about a file, and what its name hints at."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from papertape.engine.candles import TIMEFRAMES
from papertape.engine.errors import DataError
from papertape.replay.importers.source import FileSource
from papertape.replay.importers.table import NumberStyle
from papertape.replay.tapes.cleaning import Keep
from papertape.replay.tapes.raw import VolumeUnit

KINDS = ("spot", "linear", "inverse")
# Letters of any script: there are markets such as 币安人生USDT.
_SYMBOL = re.compile(r"[^\W_][\w./:\-]{0,63}")
_VENUE = re.compile(r"[a-z0-9][a-z0-9.\-]{0,31}")

# Exchanges that occur in names and folders; a word that is none is no venue.
EXCHANGES = frozenset(
    [
        "binance",
        "binanceus",
        "bitfinex",
        "bitmex",
        "bitstamp",
        "bybit",
        "coinbase",
        "deribit",
        "ftx",
        "gateio",
        "gdax",
        "gemini",
        "huobi",
        "kraken",
        "kucoin",
        "okex",
        "okx",
        "poloniex",
    ]
)


@dataclass(frozen=True, slots=True)
class Options:
    """
    What the user says; it wins over names, and is checked against the content.

    format          an importer's name, in place of detection
    columns         for tables: which column is `time`, `open`, …; `date+clock` for a time in two columns
    decimal         for tables: the sign before the fraction; thousands: the one between thousands
    date_format     for tables: of strptime, for times that are not ISO 8601
    time_zone       for tables: of times that name none, for example Europe/Berlin; None: UTC
    no_volume       for tables: none was recorded, and it stands as zero
    keep            which of two different candles of one stamp counts
    drop_bad        leave out rows that break a candle's rules
    volume_unit     base, contracts or quote; contracts need `contract_value`, base units each
    """

    format: str | None = None
    venue: str | None = None
    symbol: str | None = None
    timeframe: str | None = None
    kind: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    keep: Keep | None = None
    drop_bad: bool = False
    volume_unit: VolumeUnit | None = None
    contract_value: float | None = None
    decimal: str | None = None
    thousands: str | None = None
    date_format: str | None = None
    time_zone: str | None = None
    no_volume: bool = False

    def __post_init__(self) -> None:
        """Refuse what cannot be part of a tape's name."""
        if self.venue is not None and not _VENUE.fullmatch(self.venue):
            raise DataError(f"--venue {self.venue!r}: write lower case letters, digits and hyphens")
        if self.symbol is not None and not is_symbol(self.symbol):
            raise DataError(f"--symbol {self.symbol!r}: write it like BTCUSDT or BTC/USDT:USDT")
        if self.kind is not None and self.kind not in KINDS:
            raise DataError(f"--kind {self.kind!r}: choose one of {', '.join(KINDS)}")
        if self.contract_value is not None and not 0.0 < self.contract_value < 1e12:
            raise DataError(f"--contract-value {self.contract_value}: must be above zero")
        for name in ("decimal", "thousands"):
            sign = getattr(self, name)
            if sign is not None and (len(sign) != 1 or sign.isalnum() or sign in "+-"):
                raise DataError(f"--{name} {sign!r}: write one sign such as a comma")
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise DataError(f"--thousands {self.thousands!r}: it is the decimal sign already")

    @property
    def for_tables(self) -> list[str]:
        """Return the options in use that only tables have."""
        names = ("columns", "decimal", "thousands", "date_format", "time_zone", "no_volume")
        return [f"--{name.replace('_', '-')}" for name in names if getattr(self, name)]

    @property
    def style(self) -> NumberStyle:
        """Return how numbers are written."""
        return NumberStyle(self.decimal or ".", self.thousands or "")


def is_symbol(text: str) -> bool:
    """Return whether a text can be a symbol."""
    is_one_form = unicodedata.is_normalized("NFC", text)  # else two names look like one
    return bool(_SYMBOL.fullmatch(text)) and ".." not in text and is_one_form


class Hints(NamedTuple):
    """What names say, each None when they do not."""

    venue: str | None
    symbol: str | None
    timeframe: str | None


def plain_symbol(text: str) -> str:
    """Return a pair such as BTC/USDT or btc_usdt_usdt as the venue writes it: BTCUSDT."""
    parts = re.split(r"[/_:]", text.upper())
    return "".join(parts[:2]) if len(parts) > 1 else parts[0]


_NAME_FORMS = (
    # binance-spot_BTCUSDT_1m_20200101_20201231.parquet: our own
    r"(?P<venue>[a-z0-9]+(?:-[a-z0-9]+)+|synthetic)_(?P<symbol>[^\W_]+(?:[.\-][^\W_]+)*)_(?P<timeframe>\d+[mhdw])(?:[_.]|$)",
    # BTCUSDT-1h-2023-01.csv, BTC_USDT_USDT-5m-futures.feather: Binance Vision and freqtrade
    r"(?:.*klines-)?(?P<symbol>[^\W_a-z]+(?:_[^\W_a-z]+)*)-(?P<timeframe>\d+(?:[mhdw]|mo))(?:[-.]|$)",
    # Coinbase_BTCUSD_1h.csv: CryptoDataDownload
    r"(?P<exchange>[A-Za-z]+)_(?P<symbol>[^\W_a-z]{5,})_(?P<timeframe>\d+[mhdw]|d|minute|hour)(?:[_.]|$)",
    # BTCUSDT_1h_2023.csv
    r"(?P<symbol>[^\W_a-z]{5,})_(?P<timeframe>\d+[mhdw])(?:[_.]|$)",
)
_WORDS = {"d": "1d", "minute": "1m", "hour": "1h", "daily": "1d"}


def name_hints(source: FileSource) -> Hints:
    """Return what the file's name, or its name in a zip, hints at."""
    found = [_hints_of(name) for name in (source.path.name, source.inner.rpartition("/")[2])]
    return Hints(*(outer or inner for outer, inner in zip(*found, strict=True)))


def _hints_of(name: str) -> Hints:
    for form in _NAME_FORMS:
        match = re.match(form, name)
        if match:
            groups = match.groupdict()
            exchange = (groups.get("exchange") or "").lower()
            venue = groups.get("venue") or (f"{exchange}-spot" if exchange in EXCHANGES else None)
            symbol = groups["symbol"]
            timeframe = _WORDS.get(groups["timeframe"], groups["timeframe"])
            return Hints(
                venue,
                symbol if groups.get("venue") else plain_symbol(symbol),
                timeframe if timeframe in TIMEFRAMES else None,
            )
    return Hints(None, None, None)


def exchange_hint(source: FileSource) -> str | None:
    """Return the exchange that stands in the file's name or folders, the nearest first."""
    words = re.split(r"[^a-z0-9]+", source.hints.lower())
    return next((word for word in reversed(words) if word in EXCHANGES), None)
