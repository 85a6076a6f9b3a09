"""
Every trial that was made on a tape, so that nobody has to remember how many there were.

    returns   the returns of an account in a compact form
"""
