"""
The trial ledger: every trial that was ever recorded, by which each figure of a search is judged.

    recording  `append` and `on_record`: record a trial and return its standing; what a ledger says against a result
    ledger     the rows of the file: hashed one after the other, counted by tape
    storage    the file: opened, created and migrated
    holdout    candles that are locked for every search and read once
    entry      one trial
    matrix     returns of trials side by side, and what they say about the best
    identity   what makes two trials the same
    returns    the returns of an account in a compact form
"""
