"""A start that begins a chapter: what is asked, and everything that must be so before it is written down."""

from typing import Final, NamedTuple

from papertape.daemon.chapters.changes import changed_account, changes_of
from papertape.daemon.chapters.chapter import KEEP_POSITIONS, Chapter
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.engine.candles import timeframe_ms
from papertape.engine.core import Engine
from papertape.engine.errors import ConfigError

_LONGEST: Final = 80


class Opening(NamedTuple):
    """What a start is asked for: the name of a chapter, and whether positions are kept or closed at its beginning."""

    name: str
    positions: str = KEEP_POSITIONS

    def ready(self, journal: Journal, kept: Identity, now: Identity) -> Chapter | None:
        """
        Return the chapter that begins behind the journal's newest candle, None where it has begun already.

        A service manager starts a daemon again with the words that it was first started with.

        Raises ConfigError for a chapter that cannot be.
        """
        changes = changes_of(kept, now)
        names = [row[0] for row in journal.all("SELECT name FROM chapters ORDER BY input")]
        if not changes and self.name in names[-1:]:
            return None
        if self.name in names:
            raise ConfigError(f"--chapter: one is called {self.name!r} already; choose another name")
        if not changes:
            raise ConfigError(
                "--chapter: nothing that decides is other than it was; leave it out, or change the configuration"
            )
        last_ms = journal.last_candle_ms()
        if last_ms is None or journal.meta("first_live") is None:
            raise ConfigError(
                "--chapter: the account has not opened yet, history is still coming in; begin it once it trades"
            )
        time_ms = last_ms + timeframe_ms(kept.base_timeframe)
        after = changed_account(kept, now, changes, time_ms)._replace(chapter=self.name)
        Engine(after.spec)  # what cannot be built begins no chapter
        return Chapter(self.name, time_ms, self.positions, kept, after, changes)


def opening_of(name: str | None, positions: str | None) -> Opening | None:
    """Return what the command line asks for, None for nothing, or raise ConfigError."""
    if name is None:
        if positions is not None:
            raise ConfigError("--chapter-positions: there is no --chapter NAME that it is about")
        return None
    if not name.strip() or len(name) > _LONGEST or not name.isprintable():
        raise ConfigError(
            f"--chapter: {name[:_LONGEST]!r} is no name; take up to {_LONGEST} characters that can be read, on one line"
        )
    return Opening(name.strip(), positions or KEEP_POSITIONS)


def refuse_at_first(asked: Opening | None) -> None:
    """Raise ConfigError where an account that has not begun is to begin a chapter."""
    if asked is not None:
        raise ConfigError(
            "--chapter: this state directory has no account yet; leave it out, the first chapter begins by itself"
        )
