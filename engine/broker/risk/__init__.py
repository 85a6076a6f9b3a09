"""
Risk: what an account and a position may lose.

    limits   on losses and exposure: what they lock, and what is not opened
    margin   where a position is liquidated
"""
