"""
User code that was edited between two starts: accepted where it decides the same about all of the past, refused where not.

The digest of accepted code is stored, so that nothing is stepped again for code that has not changed.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from papertape.daemon.chapters.lineage import lineage_of
from papertape.daemon.journal import Journal, Work
from papertape.daemon.runtime.upgrade.comparison import Change, compare_versions
from papertape.engine.errors import ConfigError
from papertape.engine.strategies import class_of
from papertape.engine.user_code.definition import digest_of
from papertape.replay.config import Config
from papertape.replay.config.spec import fee_function_of


class _Kind(NamedTuple):
    """
    One kind of user code.

    key      names the digests, one per account, in a journal's meta
    digest   of the code that a configuration names; empty for what is built in
    counts   whether a row that would change speaks against the edit
    refusal  the message, with a place for the first such row
    """

    key: str
    digest: Callable[[Config], str]
    counts: Callable[[Change], bool]
    refusal: str


def refuse_edited(journal: Journal) -> dict[str, list[str]]:
    """
    Raise ConfigError where user code was edited and would have decided otherwise than an account did.

    Return digests for `keep_digests`, taken before any of that code runs: what it stores in its module is no edit.
    """
    accounts = lineage_of(journal).accounts
    now = {kind.key: [kind.digest(account.config) for account in accounts] for kind in _KINDS}
    edited = [kind for kind in _KINDS if _is_edited(_stored(journal, kind.key), now[kind.key])]
    changes = compare_versions(journal.path.parent, trust_code=True).changes if edited else ()
    for kind in edited:
        against = [change for change in changes if kind.counts(change)]
        if against:
            raise ConfigError(kind.refusal.format(against[0]))
    return now


def keep_digests(journal: Journal, digests: Mapping[str, list[str]]) -> None:
    """Store the digests of the user code of an account and its chapters, where there is any."""
    for key, now in digests.items():
        if any(now) and now != _stored(journal, key):
            journal.commit([_storing(key, now)])


def _stored(journal: Journal, key: str) -> list[str]:
    return list(json.loads(journal.meta(key) or "[]"))


def _storing(key: str, digests: list[str]) -> Work[None]:
    return lambda journal: journal.set_meta(**{key: digests})


def _is_edited(before: Sequence[str], now: Sequence[str]) -> bool:
    return any(was and new and was != new for was, new in zip(before, now, strict=False))


def _fees_of(config: Config) -> str:
    function = fee_function_of(config)
    return "" if function is None else function.digest


def _strategy_of(config: Config) -> str:
    name = config.strategy.name
    return digest_of(class_of(name)) if ":" in name else ""


_KINDS: Final = (
    _Kind(
        "fee_functions",
        _fees_of,
        # A function that failed and ended a daemon can be repaired: rows that it never came to are no change of the past.
        lambda change: change.what != "new",
        "account.fee_function: it was edited and says otherwise of what was filled ({}); give it back as it was, and name "
        "another one in a chapter",
    ),
    _Kind(
        "strategies",
        _strategy_of,
        lambda change: True,
        "strategy.name: it was edited and decides otherwise than this account has done ({}); give it back as it was, and name "
        "the new one, in another file or class, in a chapter",
    ),
)
