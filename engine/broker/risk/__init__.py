"""
Risk and its costs: what an account and a position may lose, what a position gets for it, and what its fills pay.

    allocation  which part of the account each symbol trades with
    brackets    leverage by size: a table, and how large a position may be
    changes     of a market while it is traded
    fees        of a fill, and how they fall with what was traded
    groups      symbols that move together, and the notional of all of them
    limits      on losses and exposure: what they lock, and what is not opened
    margin      where a position is liquidated
    own_fees    a function of a user's for them
    parity      parts that each add as much to the account's risk
    places      how many positions are open at once, and how many orders are sent in a while
    sizes       by a market's volatility, and by what the account has won
"""
