"""
Backtesting: one engine over recorded tapes, from a configuration to a result.

    prepare run         what a run begins with, models that take over in it among it; the run     recorder   what keeps the reports
    summary figures models spans   the content of result.json, and what of the tapes was replayed
    conditions limits   why a strategy did nothing; what the account's limits locked
    doubts              what a reader must know of a result
    result verify       a result as files; run again and compared
"""
