"""What tests of the daemon's API share: an account's facts, and journals of the size that years leave behind."""

import itertools
from pathlib import Path

import numpy as np

from papertape.daemon.journal import Journal, encode
from papertape.daemon.monitoring.api.account import ApiAccount
from papertape.daemon.monitoring.api.routes import Api
from papertape.daemon.monitoring.schemas import Status
from papertape.engine.candles import CANDLE, MINUTE_MS
from papertape.engine.jit import Rows
from papertape.engine.spec import Market

FIRST_MS = 1_700_006_400_000


def account(state: Path, symbols: tuple[str, ...] = ("AAA", "BBB"), frame_ms: int = MINUTE_MS) -> ApiAccount:
    """Return an account on these symbols, of one-minute candles."""
    markets = tuple(Market(symbol, is_perpetual=True, tick_size=0.01) for symbol in symbols)
    return ApiAccount(state, "test", "confluence", frame_ms, MINUTE_MS, 10_000.0, markets)


def no_api(state: Path = Path("nowhere")) -> Api:
    """Return an API over a journal that is not there."""
    return Api(account(state), no_status)


def no_status() -> Status:
    """Return the status of nothing in particular."""
    return Status.model_validate_json(
        b'{"version": "0", "mode": "paper", "venue": "sim", "started_ms": 0, "uptime_s": 0, "is_ready": true,'
        b'"account": {"currency": "USD", "equity": 1, "equity_peak": 1, "drawdown_ratio": 0, "cash": 1,'
        b'"realised_pnl": 0, "funding_paid": 0, "is_paused": false},'
        b'"positions": [], "feeds": [], "last_input": null, "digest": "", "jobs": [], "parity": {}}'
    )


def walk(n: int, seed: int, symbol: int = 0) -> Rows:
    """Return `n` minutes of one symbol whose prices have as many digits as floats do."""
    random = np.random.default_rng(seed)
    rows = np.zeros(n, CANDLE)
    close = 30_000.0 * np.exp(np.cumsum(random.normal(0.0, 0.0005, n)))
    rows["open_ms"] = FIRST_MS + MINUTE_MS * np.arange(n)
    rows["symbol"] = symbol
    rows["open"] = np.concatenate([[30_000.0], close[:-1]])
    rows["close"] = close
    rows["high"] = np.maximum(rows["open"], close) * (1.0 + random.exponential(0.0003, n))
    rows["low"] = np.minimum(rows["open"], close) * (1.0 - random.exponential(0.0003, n))
    rows["volume"] = random.lognormal(1.0, 1.0, n)
    return rows


def journal_of(state: Path, parts: list[Rows], batch: int = 500) -> None:
    """Journal candles of several symbols as they would have come, so many instants an input."""
    rows = np.sort(np.concatenate(parts), order=["open_ms", "symbol"])
    step = batch * len(parts)
    state.mkdir(parents=True, exist_ok=True)
    with Journal.open(state, 0) as journal:
        journal.commit(
            [
                lambda j, part=rows[start : start + step]: j.add_input(encode(part), 0)
                for start in range(0, len(rows), step)
            ]
        )


def multiply(state: Path, table: str, n: int) -> None:
    """Add `n` rows to a table: those that are there, again and again under later numbers."""
    with Journal.open(state, 0) as journal:
        names = [row[1] for row in journal.all(f"PRAGMA table_info({table})")]
        key = next(name for name in ("sequence", "number", "id", "time_ms") if name in names)
        step = 300_000 if key == "time_ms" else 1
        rows = journal.all(f"SELECT * FROM {table} ORDER BY {key} LIMIT ?", n)  # noqa: S608
        (top,) = journal.one(f"SELECT max({key}) FROM {table}")  # noqa: S608
        place, marks = names.index(key), ", ".join("?" * len(names))
        made = (
            (*row[:place], top + step * (1 + i), *row[place + 1 :])
            for i, row in enumerate(itertools.islice(itertools.cycle(rows), n))
        )
        journal.commit(
            [
                lambda j: j.connection.executemany(f"INSERT INTO {table} VALUES ({marks})", made)  # noqa: S608
            ]
        )
