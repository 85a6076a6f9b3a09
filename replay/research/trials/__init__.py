"""
What a trial leaves to those who judge it.

    returns   the returns of an account in a compact form
"""
