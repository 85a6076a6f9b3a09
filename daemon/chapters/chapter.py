"""A chapter as a journal keeps it: an input of its own kind, which no engine takes by itself."""

import json
from typing import Any, Final, NamedTuple, Self

from papertape.daemon.journal import Input, Journal
from papertape.daemon.journal.codec import Encoded
from papertape.daemon.journal.identity import Identity
from papertape.engine.errors import InvariantError
from papertape.replay.tapes.tables import at_minute

CHAPTER: Final = "chapter"
KEEP_POSITIONS: Final = "keep"
CLOSE_POSITIONS: Final = "close"


class Chapter(NamedTuple):
    """
    From when on an account is another one.

    time_ms    close of the newest candle before it
    positions  keep | close: whether what is held is kept with its stop and target, or closed at the next open
    before     what the account was
    after      what it is from then on
    changes    by path of the configuration: the value before, the value after
    """

    name: str
    time_ms: int
    positions: str
    before: Identity
    after: Identity
    changes: dict[str, tuple[Any, Any]]

    @property
    def closes(self) -> bool:
        """Return whether positions are closed."""
        return self.positions == CLOSE_POSITIONS

    def __str__(self) -> str:
        changed = ", ".join(f"{path} {old!r} → {new!r}" for path, (old, new) in self.changes.items())
        return f"chapter {self.name!r} from {at_minute(self.time_ms)} on: {changed}"

    def encoded(self) -> Encoded:
        """Return it as an input: who reads it needs nothing else to go on."""
        values = {
            "name": self.name,
            "time_ms": self.time_ms,
            "positions": self.positions,
            "changes": self.changes,
            "digest_before": self.before.digest,
            "digest_after": self.after.digest,
            "before": json.loads(self.before.as_json()),
            "after": json.loads(self.after.as_json()),
        }
        payload = json.dumps(values, sort_keys=True, allow_nan=False).encode()
        return Encoded(CHAPTER, payload, self.time_ms, self.time_ms)

    @classmethod
    def of(cls, found: Input, money_decimals: int) -> Self:
        """Return what `encoded` wrote into a journal that counts so, or raise InvariantError for what it never wrote."""
        try:
            values = json.loads(found.payload)
            before, after = (
                Identity.from_json(json.dumps(values[name]), money_decimals) for name in ("before", "after")
            )
            changes = {path: (old, new) for path, (old, new) in values["changes"].items()}
            chapter = cls(values["name"], values["time_ms"], values["positions"], before, after, changes)
        except (ValueError, KeyError, TypeError) as error:
            raise InvariantError(f"input {found.sequence}: this chapter cannot be read: {error}") from error
        return chapter

    def add(self, journal: Journal, received_ms: int) -> int:
        """Add it to a journal within a transaction, as an input and as what is in force from now on; return its sequence."""
        sequence = journal.add_input(self.encoded(), received_ms)
        journal.connection.execute(
            "INSERT INTO chapters VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                sequence,
                self.time_ms,
                self.name,
                self.positions,
                json.dumps(self.changes, sort_keys=True),
                self.before.as_json(),
                self.after.as_json(),
            ),
        )
        journal.set_meta(identity=self.after.as_json())
        return sequence
