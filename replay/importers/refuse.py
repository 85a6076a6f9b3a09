"""Files that are no candles: what each seems to be, in one sentence."""

import re
from collections.abc import Iterable

from papertape.engine.errors import DataError
from papertape.replay.importers.source import FileSource

SYMBOLS = ("symbol", "instrument", "pair")  # columns, in small letters without signs
# First match wins; the patterns look at the first 64 KiB of text.
_KNOWN = (
    (r"(?i)\s*<(!doctype|html|head|\?xml)", "seems to be a web page, perhaps an error page of a download"),
    (r"wss?://", "seems to be a websocket recording, not candles"),
    (r"https?://\S+ -> [\d.]+: ", "seems to be recorded REST answers (a product list), not candles"),
    (r"\d{16,19} \{", "seems to be a websocket recording with local time stamps, not candles"),
    (r'\s*\{"?.*"(stream|channel|e)"\s*:', "seems to be websocket messages, not candles"),
    (r'(?s)\s*\{\s*"error"\s*:\s*\[\s*"', "is an error answer of Kraken's REST interface, not candles"),
    (
        r"\d{8} \d\d:\d\d(:\d\d)?,-?[\d.]+\s*(\n|$)",
        "seems to be a funding or margin interest rate file, not candles",
    ),
    (r"(?i)[^\n]*\b(funding_?rate|last_funding_rate)\b", "seems to be a funding rate file, not candles"),
    (
        r"(?i)(?=[^\n]*\bprice\b)(?=[^\n]*\b(side|qty|amount|size)\b)",
        "seems to be a list of trades, not candles",
    ),
)


def refuse_known(source: FileSource) -> None:
    """Raise DataError when this is something known that is not candles."""
    if not source.data.strip():
        raise DataError(f"{source.name}: the file is empty")
    head = source.head
    if head is None:
        return
    for pattern, what in _KNOWN:
        if re.match(pattern, head):
            raise DataError(f"{source.name}: {what}")


def other_markets(named: Iterable[object], symbol: str) -> list[str]:
    """Return the symbols in a file that are another market than this; BTC/USDT:USDT and BTC-USDT are BTCUSDT."""
    wanted = _market(symbol)
    return sorted({str(name) for name in named if _market(str(name)) != wanted})


def _market(symbol: str) -> str:
    return re.sub(r"[^A-Z0-9]", "", symbol.upper().partition(":")[0])


def refuse_unknown(source: FileSource, names: str) -> DataError:
    """Return the error for a file that no importer knows."""
    if source.head is None:
        what = "is neither UTF-8 text nor a known binary format"
    elif source.head.lstrip().startswith("{"):
        what = "is a JSON object in no known form of candles"
    elif source.head.lstrip().startswith("["):
        what = "is a JSON list in no known form of candles"
    else:
        first = source.lines[0][:60] if source.lines else ""
        what = f"is text in no known form of candles; it begins {first!r}"
    return DataError(
        f"{source.name}: {what}; say --format ({names}), or for tables "
        "--columns time=…,open=…,high=…,low=…,close=…,volume=…"
    )
