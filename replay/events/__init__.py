"""
Market events: structure over a tape, and what followed it.

    events               the engine's own stepper over recorded candles, and its events as a table
    study outcomes inference   what followed events of each kind, and how sure that can be
    series               settlements that fall into a run, and what else was known when
    export               feature columns and events as Parquet files
"""
