"""
Candles that are held out: locked for every search, and read once, by one configuration.

A lock is a row of the ledger, hashed with all others, and so is its reading, which is put down before anything is read. A tape is
known by its days: by the open, high, low and close of every UTC day on which its price moved. A tape that shares a single one
of them with a locked tape is that market, whatever it is called, however it is cut, resampled or gone on with, and everything from
the lock's time on is held out of it.

The newest lock that fits a tape holds. Before it was read it can only be moved to an earlier time; afterwards only to candles that
were not read.
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from papertape.engine.candles import DAY_MS
from papertape.engine.errors import ConfigError, DataError
from papertape.replay.backtesting.prepare import refuse_unready
from papertape.replay.config import Config
from papertape.replay.research.trials.entry import now_ms
from papertape.replay.research.trials.identity import code_digest, configuration_digest
from papertape.replay.research.trials.ledger import LedgerNote, ledger_path, opened
from papertape.replay.research.trials.returns import block_returns
from papertape.replay.tapes.store import Tape
from papertape.replay.tapes.timestamps import utc_text

READ: Final = "holdout"  # kind of the trial that a reading is
_MINUTE_MS: Final = 60_000
Days = npt.NDArray[np.uint64]


class HoldoutReading(NamedTuple):
    """Who read a holdout: row, configuration's digest, hashes of all tapes, the last candle that was read, and when."""

    sequence: int
    configuration: str
    tapes: tuple[str, ...]
    last_ms: int
    time_ms: int


class Holdout(NamedTuple):
    """
    A lock: row, what its tape was called and its hash, from when on its candles are held out.

    seen     trials on record, on this very tape, that had read candles from there on when it was locked
    reading  None while nobody has read it
    """

    sequence: int
    symbol: str
    tape: str
    start_ms: int
    seen: int
    time_ms: int
    days: Days
    reading: HoldoutReading | None = None

    def holds(self, days: Days) -> bool:
        """Return whether a tape of these days is the market that was locked."""
        return bool(np.isin(days, self.days).any())

    def __str__(self) -> str:
        """Return it as a part of a sentence."""
        return f"its candles from {utc_text(self.start_ms)} on are held out (row {self.sequence:,} of the trial ledger)"

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values, without its days."""
        plain = {name: value for name, value in self._asdict().items() if name != "days"}
        return {**plain, "reading": None if self.reading is None else self.reading._asdict()}


class Locks:
    """What is locked at one moment, by itself on this machine; where no ledger is kept nothing is."""

    def __init__(self, locks: Sequence[Holdout] | None = None) -> None:
        self._locks = locked() if locks is None else locks
        self._days: dict[str, Days] = {}

    def __bool__(self) -> bool:
        return bool(self._locks)

    def refuse(self, config: Config, tapes: Sequence[Tape]) -> None:
        """Raise DataError where a configuration would read what is held out."""
        for tape in tapes if self._locks else ():
            if tape.sha256 not in self._days:
                self._days[tape.sha256] = day_marks(tape)
            lock = in_force(self._locks, self._days[tape.sha256])
            if lock is not None and _last_ms(config, tape) >= lock.start_ms:
                way = (
                    _read(lock.reading)
                    if lock.reading
                    else "or read them once with papertape replay --holdout"
                )
                raise DataError(
                    f'{tape.symbol}: {lock}; end before with data.end = "{utc_text(lock.start_ms - _MINUTE_MS)}"; {way}'
                )


def locked() -> list[Holdout]:
    """
    Return every lock with its reading, oldest first; none where the ledger is off or not there yet.

    Raises DataError for a ledger that is there and cannot be read, or that was changed: what it locks is not known.
    """
    if not _is_kept():
        return []
    with opened() as ledger:
        return _holdouts(ledger.notes())


def _is_kept() -> bool:
    """Return whether there is a ledger with anything in it; DataError where that cannot be seen."""
    try:
        path = ledger_path()
    except DataError:  # no home, and so no ledger
        return False
    try:
        return path is not None and path.stat().st_size > 0
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DataError(f"{path}: {(error.strerror or str(error)).lower()}") from error


def in_force(locks: Iterable[Holdout], days: Days) -> Holdout | None:
    """Return the newest lock on the market of these days, None where there is none."""
    found = [lock for lock in locks if lock.holds(days)]
    return found[-1] if found else None


def lock_holdout(tape: Tape, start_ms: int) -> Holdout:
    """
    Hold the candles of a tape out from a time on, for good; return the lock.

    Raises DataError where nothing would be left before it, where a lock holds that this would loosen, or where the candles were
    read already.
    """
    first_ms, days = int(tape.candles["open_ms"][0]), day_marks(tape)
    if start_ms <= first_ms:
        raise DataError(
            f"{tape.symbol}: its first candle is of {utc_text(first_ms)}; lock from a later time, so that something is left to search"
        )
    if not len(days):
        raise DataError(f"{tape.symbol}: its price never moved, so it could not be told from others")
    with opened(is_writing=True) as ledger:
        seen = sum(_has_seen(entry.returns, start_ms) for entry in ledger.on(tape.sha256))

        def make(notes: Sequence[LedgerNote]) -> Mapping[str, Any]:
            before = in_force(_holdouts(notes), days)
            if before is not None:
                _refuse_looser(tape, before, start_ms)
            return {
                "kind": "lock",
                "symbol": tape.symbol,
                "tape": tape.sha256,
                "start_ms": start_ms,
                "seen": seen,
                "time_ms": now_ms(),
                "days": base64.b64encode(days.astype("<u8").tobytes()).decode(),
            }

        ledger.append_note(make)
        found = in_force(_holdouts(ledger.notes()), days)
    assert found is not None
    return found


def admitted(
    config: Config,
    tapes: Sequence[Tape],
    *,
    reads_holdout: bool = False,
    models: Sequence[tuple[int, bytes]] = (),
) -> list[Holdout]:
    """
    Return the holdouts that a replay may read, put down as read before it does; none where nothing is held out of it.

    models  those it is given in place of training its own: with others it is another configuration

    Raises DataError where it would read one without saying so or after another configuration, ConfigError where it says so
    and there is none, and either for a replay that could not begin.
    """
    if not reads_holdout:
        Locks().refuse(config, tapes)
        return []
    refuse_unready(config, tapes, models)  # a reading is put down once, and this replay could not begin
    with opened(is_writing=True) as ledger:
        found = [_read_by(ledger.notes(), config, tape) for tape in tapes]
        asked = [lock for lock in found if lock is not None]
        if not asked:
            raise ConfigError(
                "--holdout: nothing that this replay reads is held out; papertape trials locks lists what is"
            )
        hashes = sorted(tape.sha256 for tape in tapes)
        last_ms = max(_last_ms(config, tape) for tape in tapes)

        def make(notes: Sequence[LedgerNote]) -> Mapping[str, Any] | None:
            locks = [lock for tape in tapes if (lock := _read_by(notes, config, tape)) is not None]
            configuration = configuration_digest(config, models)
            for lock in locks:
                if lock.reading is not None and lock.reading[1:4] != (configuration, tuple(hashes), last_ms):
                    raise DataError(f"{lock.symbol}: {lock}; {_read(lock.reading)}")
            if all(lock.reading is not None for lock in locks):
                return None  # the same configuration shows what it showed
            return {
                "kind": "reading",
                "locks": [lock.sequence for lock in locks],
                "configuration": configuration,
                "code": code_digest(config),
                "tapes": hashes,
                "last_ms": last_ms,
                "time_ms": now_ms(),
            }

        ledger.append_note(make)
        now = _holdouts(ledger.notes())
        return [lock for lock in now if lock.sequence in {one.sequence for one in asked}]


def day_marks(tape: Tape) -> Days:
    """Return eight bytes for every UTC day on which the price moved, from the day, its open, high, low and close."""
    candles = tape.candles
    day = candles["open_ms"] // DAY_MS
    starts = np.flatnonzero(np.diff(day, prepend=day[0] - 1))
    ends = np.append(starts[1:], len(day)) - 1
    high = np.maximum.reduceat(candles["high"], starts)
    low = np.minimum.reduceat(candles["low"], starts)
    prices = np.stack([candles["open"][starts], high, low, candles["close"][ends]], axis=1)
    rows = zip(day[starts].astype("<i8"), prices.astype("<f8"), high > low, strict=True)
    marks = [
        int.from_bytes(hashlib.sha256(one.tobytes() + row.tobytes()).digest()[:8], "little")
        for one, row, has_moved in rows
        if has_moved
    ]
    return np.array(marks, np.uint64)


def _holdouts(notes: Iterable[LedgerNote]) -> list[Holdout]:
    """Return every lock with the first reading that names it."""
    locks: dict[int, Holdout] = {}
    for sequence, content in notes:
        if content["kind"] == "lock":
            days = np.frombuffer(base64.b64decode(content["days"]), "<u8").astype(np.uint64)
            values = {name: content[name] for name in ("symbol", "tape", "start_ms", "seen", "time_ms")}
            locks[sequence] = Holdout(sequence, days=days, **values)
            continue
        reading = HoldoutReading(
            sequence,
            content["configuration"],
            tuple(content["tapes"]),
            content["last_ms"],
            content["time_ms"],
        )
        for number in content["locks"]:
            if number not in locks:
                raise DataError(
                    f"trial ledger: the lock of row {number:,} is not listed; see papertape trials verify"
                )
            if locks[number].reading is None:
                locks[number] = locks[number]._replace(reading=reading)
    return list(locks.values())


def _read_by(notes: Sequence[LedgerNote], config: Config, tape: Tape) -> Holdout | None:
    """Return the holdout that a configuration reads of a tape, None where it reads none."""
    lock = in_force(_holdouts(notes), day_marks(tape))
    return lock if lock is not None and _last_ms(config, tape) >= lock.start_ms else None


def _refuse_looser(tape: Tape, before: Holdout, start_ms: int) -> None:
    if before.reading is None and start_ms >= before.start_ms:
        raise DataError(f"{tape.symbol}: {before}; until they are read a lock can only begin earlier")
    if before.reading is not None and start_ms <= before.reading.last_ms:
        raise DataError(
            f"{tape.symbol}: candles up to {utc_text(before.reading.last_ms)} were read already; hold out what comes after"
        )


def _has_seen(returns: str, start_ms: int) -> bool:
    """Return whether the account of a trial went on after a time."""
    found = block_returns(returns)
    return (found.first_day + found.days * (len(found.returns) - 1)) * DAY_MS >= start_ms


def _last_ms(config: Config, tape: Tape) -> int:
    """Return the open of the last candle that a configuration reads of a tape."""
    return int(tape.between(config.data.start, config.data.end).candles["open_ms"][-1])


def _read(reading: HoldoutReading) -> str:
    return f"they were read on {utc_text(reading.time_ms // _MINUTE_MS * _MINUTE_MS)} by configuration {reading.configuration[:12]}, and are read once"
