"""
The journal of a state directory: inputs in order, snapshots, and what the engine reported.

    journal identity   the file: opening, committing, reading, the hash chain; what the directory is about
    writer             the one thread that writes, with group commit
    codec              inputs as bytes
    tables attempts    the engine's reports, and attempts to replace the model, as tables for plain SQL
    closes             what was seen and answered at each close, which is no report
    schema             the other tables, their version and migrations
    archive export     old inputs to files, backups; inputs as tapes and Parquet
    crash_points       where a test may kill the process
    sqlite_errors      what sqlite says, in a sentence
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
