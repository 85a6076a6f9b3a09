"""
What was tried, by anybody, ever: the ledger that every figure of a search is judged by.

    recording  `append` and `on_record`: on record, and how it stands; what a ledger says against a result
    ledger     the file: its rows: hashed one after the other, counted by tape
    storage    the file: opened, made and brought forward
    holdout    candles that are locked for every search and read once
    entry      one trial
    matrix     their returns side by side, and what these say of the best
    identity   what makes two trials the same
    returns    the returns of an account in a compact form
"""
