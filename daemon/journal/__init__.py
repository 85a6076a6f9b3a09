"""
The journal of a state directory: inputs in order, snapshots, and what the engine reported.

    journal   the file: opening, committing, reading, the hash chain
    writer    the one thread that writes, with group commit
    codec     inputs as bytes
    tables    the engine's reports as tables for plain SQL
    schema    the other tables, their version and migrations
    archive   retention: old inputs to files, backups
    export    inputs as tapes and Parquet
    points    where a test may kill the process
    faults    what sqlite says, in a sentence
"""

from papertape.daemon.journal.codec import encode
from papertape.daemon.journal.journal import NAME, Input, Journal, Snapshot, Work
from papertape.daemon.journal.tables import Late, take_back, write_report
from papertape.daemon.journal.writer import InlineWriter, OnCommit, ThreadWriter, Writer

__all__ = [
    "NAME",
    "InlineWriter",
    "Input",
    "Journal",
    "Late",
    "OnCommit",
    "Snapshot",
    "ThreadWriter",
    "Work",
    "Writer",
    "encode",
    "take_back",
    "write_report",
]
