"""A chapter as an input, and back."""

import json
from pathlib import Path

import pytest

from papertape.daemon.chapters.chapter import CHAPTER, Chapter
from papertape.daemon.chapters.lineage import lineage_of
from papertape.daemon.journal import Journal
from papertape.daemon.journal.identity import Identity
from papertape.engine.broker.ledger import DECIMALS
from papertape.engine.errors import InvariantError
from tests.support.journals import identity

BEFORE = identity()
AFTER = identity(account={"latency_bars": 2})._replace(since_ms=900_000)
MADE = Chapter("slower", 900_000, "close", BEFORE, AFTER, {"account.latency_bars": (0, 2)})


def test_it_is_written_whole_and_read_back(tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.set_meta(identity=BEFORE.as_json())])
        sequence = journal.commit([lambda j: MADE.add(j, 7)])[0]
        found = next(journal.inputs())
        lineage = lineage_of(journal)
        meta = journal.meta("identity")

    assert (found.sequence, found.kind, found.received_ms) == (sequence, CHAPTER, 7)
    assert (found.first_ms, found.last_ms) == (900_000, 900_000)
    assert Chapter.of(found, DECIMALS) == MADE
    assert MADE.closes
    assert Identity.from_json(meta or "", DECIMALS) == AFTER == lineage.at(1)
    assert lineage.at(0) == BEFORE
    told = json.loads(found.payload)
    assert (told["digest_before"], told["digest_after"]) == (BEFORE.digest, AFTER.digest)
    assert BEFORE.digest != AFTER.digest


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b'{"name": "x"}', b"\xff"])
def test_what_was_never_written_is_refused(payload: bytes, tmp_path: Path) -> None:
    with Journal.open(tmp_path, 0) as journal:
        journal.commit([lambda j: j.add_input(MADE.encoded()._replace(payload=payload), 0)])
        found = next(journal.inputs())

    with pytest.raises(InvariantError, match="input 1: this chapter cannot be read"):
        Chapter.of(found, DECIMALS)


def test_it_reads_as_a_line() -> None:
    assert str(MADE) == "chapter 'slower' from 1970-01-01 00:15 on: account.latency_bars 0 → 2"
