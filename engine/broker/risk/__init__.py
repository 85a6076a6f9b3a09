"""
Risk: what an account and a position may lose, and what a position gets for it.

    brackets leverage by size: a table, and how large a position may be
    limits   on losses and exposure: what they lock, and what is not opened
    margin   where a position is liquidated
    sizes    by a market's volatility, and by what the account has won
"""
