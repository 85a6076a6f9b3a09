"""
The tables of `journal.db`, their version, and the way from older versions to this one.

`PRAGMA user_version` is the version. Tables of what the engine reported are not listed here: their columns are the
fields of the engine's records (`papertape.daemon.journal.tables`), and they can be made again from the inputs at any time.
"""

import sqlite3
from pathlib import Path
from typing import Final

from papertape.engine.errors import DataError

VERSION: Final = 7
APPLICATION_ID: Final = 0x50415045  # "PAPE": `file journal.db` and a curious reader can tell

_VERSION_1: Final = """
-- What the journal is about; values are text or JSON.
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- Everything that entered the engine, in order. hash = sha256(hash before + kind + payload).
CREATE TABLE inputs (
    sequence INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    first_ms INTEGER NOT NULL,   -- open time of the first and last candle
    last_ms INTEGER NOT NULL,
    received_ms INTEGER NOT NULL, -- clock of the feed when it was accepted
    payload BLOB NOT NULL,
    hash BLOB NOT NULL
);

-- The engine between two inputs.
CREATE TABLE snapshots (
    sequence INTEGER PRIMARY KEY, -- of the last input that it contains
    taken_ms INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,    -- of the configuration and the engine's sources
    digest TEXT NOT NULL,         -- of the decisions and fills so far
    hash BLOB NOT NULL,           -- of that last input
    sha256 BLOB NOT NULL,         -- of the state
    state BLOB NOT NULL
);

-- What the feed told; see daemon/feeds/protocol.py.
CREATE TABLE notices (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    symbol TEXT NOT NULL,
    open_ms INTEGER NOT NULL,
    value REAL NOT NULL,
    detail TEXT NOT NULL
);

CREATE TABLE job_runs (
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    outcome TEXT NOT NULL,        -- running, done, failed, missed
    detail TEXT NOT NULL
);
CREATE INDEX job_runs_by_job ON job_runs (job, started_ms);

CREATE TABLE audits (
    id INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,
    sequence INTEGER NOT NULL,    -- inputs compared up to this one
    outcome TEXT NOT NULL,        -- equal, differs
    digest_live TEXT NOT NULL,
    digest_again TEXT NOT NULL,
    detail TEXT NOT NULL          -- the first record and field that differ
);
"""

_VERSION_2: Final = """
-- Inputs with candles that came too late to be acted on: the daemon was down or cut off.
CREATE TABLE outages (
    input INTEGER PRIMARY KEY,
    first_close_ms INTEGER NOT NULL, -- of the late instants
    last_close_ms INTEGER NOT NULL,
    instants INTEGER NOT NULL,
    received_ms INTEGER NOT NULL
);

-- Decisions of those instants: made when it was too late. The paper account follows them all the same.
CREATE TABLE missed_decisions (
    sequence INTEGER PRIMARY KEY,    -- in decisions
    input INTEGER NOT NULL,
    time_ms INTEGER NOT NULL,
    symbol TEXT NOT NULL,
    target INTEGER NOT NULL,
    late_ms INTEGER NOT NULL         -- from the close to the receipt of the candle
);
CREATE INDEX missed_decisions_by_input ON missed_decisions (input);

CREATE INDEX inputs_by_time ON inputs (last_ms) WHERE kind = 'candles';

-- One row per day, UTC; money in the account's unit.
CREATE TABLE days (
    day TEXT PRIMARY KEY,
    equity INTEGER NOT NULL,         -- last mark of the day
    pnl INTEGER NOT NULL,            -- of the trades that closed, net
    trades INTEGER NOT NULL,
    wins INTEGER NOT NULL,
    fees INTEGER NOT NULL,
    decisions INTEGER NOT NULL,
    missed INTEGER NOT NULL,
    absent INTEGER NOT NULL          -- candles declared absent
);

ALTER TABLE job_runs ADD COLUMN cause TEXT NOT NULL DEFAULT 'schedule'; -- schedule, catch_up, start, request

-- Outages of the past are found by stepping the inputs again.
INSERT OR REPLACE INTO meta VALUES ('tables_stale', '1');
"""

_VERSION_3: Final = """
-- Attempts to replace the model, also those that came to nothing. One is pending while its outcome is not known.
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    due_ms INTEGER NOT NULL,         -- by the candles' clock: nothing that closed later took part
    effective_ms INTEGER NOT NULL,   -- when its model takes over if there is one by then
    cause TEXT NOT NULL,             -- schedule, catch_up, drift, manual
    outcome TEXT NOT NULL,           -- pending, promoted, rejected, skipped, failed, timeout
    reason TEXT NOT NULL,            -- one sentence
    champion INTEGER NOT NULL,       -- version of the model in force when it began; 0 = none
    version INTEGER NOT NULL,        -- of its model in the store; 0 = none
    gate TEXT NOT NULL,              -- what the gate said, with its numbers: JSON
    started_ms INTEGER NOT NULL,     -- by the machine's clock, as the next two
    ended_ms INTEGER,
    wall_s REAL NOT NULL
);

-- What the watch on drift found, by the candles' clock.
CREATE TABLE drift_checks (
    time_ms INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,        -- of the model in force
    level INTEGER NOT NULL,          -- of the policy: 0 nothing … 4 no new entries
    detail TEXT NOT NULL,            -- figures and alarms: JSON
    checked_ms INTEGER NOT NULL      -- by the machine's clock
);

-- What models said at each close is found by stepping the inputs again.
INSERT OR REPLACE INTO meta VALUES ('tables_stale', '1');
"""

_VERSION_4: Final = """
-- What was seen and answered at each close; see daemon/journal/closes.py. A number that is none is NULL.
CREATE TABLE closes (
    symbol TEXT NOT NULL,
    time_ms INTEGER NOT NULL,        -- when the candle closed
    input INTEGER NOT NULL,
    features BLOB,                   -- four-byte floats in the order of close_columns in meta
    target INTEGER,                  -- -1 short, 0 flat, 1 long, 2 keep; of a strategy in kernels, as the next four
    confidence REAL,
    score_model REAL,
    score_smc REAL,
    score_technical REAL,
    condition TEXT,                  -- the first one that was not met, as the strategy says it
    value REAL,
    threshold REAL,
    PRIMARY KEY (symbol, time_ms)
) WITHOUT ROWID;
CREATE INDEX closes_by_input ON closes (input);

-- Closes and market structure of the past are found by stepping the inputs again.
INSERT OR REPLACE INTO meta VALUES ('tables_stale', '1');
"""

_VERSION_5: Final = """
-- Commands that came with a key: asked again with it, the answer is the same and nothing is done.
CREATE TABLE command_keys (
    id INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    request TEXT NOT NULL,           -- SHA-256 of the command and its body
    answer TEXT NOT NULL,            -- JSON
    time_ms INTEGER NOT NULL         -- by the feed's clock
);
"""

_VERSION_6: Final = """
-- Instants from which on the account is another one; see daemon/chapters.
CREATE TABLE chapters (
    input INTEGER PRIMARY KEY,
    time_ms INTEGER NOT NULL,        -- close of the newest candle before it
    name TEXT NOT NULL UNIQUE,
    positions TEXT NOT NULL,         -- keep, close
    changes TEXT NOT NULL,           -- by path of the configuration, value before and after: JSON
    before TEXT NOT NULL,            -- what the account was, as `identity` in meta: JSON
    after TEXT NOT NULL              -- what it is from then on: JSON
);
"""

_VERSION_7: Final = """
-- Features as eight-byte floats and the candle's prices: what a model reads, to the bit.
DROP TABLE closes;
CREATE TABLE closes (
    symbol TEXT NOT NULL,
    time_ms INTEGER NOT NULL,        -- when the candle closed
    input INTEGER NOT NULL,
    features BLOB,                   -- eight-byte floats in the order of close_columns in meta
    target INTEGER,                  -- -1 short, 0 flat, 1 long, 2 keep; of a strategy in kernels, as the next four
    confidence REAL,
    score_model REAL,
    score_smc REAL,
    score_technical REAL,
    condition TEXT,                  -- the first one that was not met, as the strategy says it
    value REAL,
    threshold REAL,
    open REAL,
    high REAL,
    low REAL,
    close REAL,
    PRIMARY KEY (symbol, time_ms)
) WITHOUT ROWID;
CREATE INDEX closes_by_input ON closes (input);

-- What each trained model would have earned, traded or not: the gate's plain rule on closes that it had not seen, after costs.
CREATE TABLE shadows (
    attempt INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,        -- in the store
    since_ms INTEGER NOT NULL,       -- when it was due
    until_ms INTEGER NOT NULL,       -- the newest of its closes; the next model's begin there
    rows INTEGER NOT NULL,           -- closes of which it said something and the outcome is known
    waiting INTEGER NOT NULL,        -- of which the outcome is not known yet
    trades INTEGER NOT NULL,         -- on paper, one at a time for each symbol
    net_return REAL NOT NULL,        -- sum of theirs, as fractions of what each staked
    log_loss REAL,                   -- of what it said; none before an outcome
    majority_log_loss REAL,          -- of the share that was known when it was trained, on the same closes
    is_settled INTEGER NOT NULL,     -- 1: the next model has come, and every outcome is known
    curve TEXT NOT NULL              -- [close, sum of returns by then], thinned: JSON
);

-- Closes of the past are found by stepping the inputs again.
INSERT OR REPLACE INTO meta VALUES ('tables_stale', '1');
"""

# What leads to each version from the one before.
STATEMENTS: Final = {
    1: _VERSION_1,
    2: _VERSION_2,
    3: _VERSION_3,
    4: _VERSION_4,
    5: _VERSION_5,
    6: _VERSION_6,
    7: _VERSION_7,
}


def prepare(connection: sqlite3.Connection, path: Path, now_ms: int) -> int:
    """
    Create the tables or bring an older file forward; return the version that was found, 0 for a new file.

    Raises DataError when the file is newer than this program or not a journal at all.
    """
    found = version_of(connection, path)
    if found == VERSION:
        return found
    connection.execute("BEGIN IMMEDIATE")
    try:
        for version in range(found + 1, VERSION + 1):
            _run(connection, STATEMENTS[version])
        if found == 0:
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("INSERT INTO meta VALUES ('created_ms', ?)", (str(now_ms),))
            connection.execute("DELETE FROM meta WHERE key = 'tables_stale'")
        connection.execute(f"PRAGMA user_version = {VERSION}")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
    return found


def version_of(connection: sqlite3.Connection, path: Path) -> int:
    """Return the version of a file, 0 when it is empty, or raise DataError."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables and application != APPLICATION_ID:
        raise DataError(f"{path}: not a journal of papertape; name another state directory")
    if version > VERSION:
        raise DataError(
            f"{path}: version {version} is newer than {VERSION}; update papertape or name another state directory"
        )
    return version


def _run(connection: sqlite3.Connection, script: str) -> None:
    """Execute statements one by one: `executescript` would commit the transaction first."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
    assert not statement.strip()
