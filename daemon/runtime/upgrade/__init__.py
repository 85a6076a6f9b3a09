"""
Upgrades: what would be decided otherwise from now on.

    comparison    by this version of the program than by the one before
    edited_code   by a user's strategy or fee function than before it was edited
"""
