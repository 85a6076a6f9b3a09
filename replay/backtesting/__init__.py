"""
Backtesting: one engine over recorded tapes, from a configuration to a result.

    run schedule        the run, and the models that take over in it     recorder   what keeps the reports
    summary figures models spans   the content of result.json, and what of the tapes was replayed
    conditions          why a strategy did nothing
    result verify       a result as files; run again and compared
"""
