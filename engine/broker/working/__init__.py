"""
Working orders: what a strategy places beside its decision, until it is filled, cancelled or refused.

    orders        the table of a symbol, the life cycle of an order, and what is reported of it
    instructions  what a strategy asks for at a close: place, cancel, move stop and target, hold
    placing       an order's size, what forbids it, its row of the table, and taking it back
    holding       a target position: the orders that lead to it
    endings       which orders end together
    changes       what a fill does to a position: open, add, reduce, close
    levels        where an order fills, and which way the price has to come from
    funds         buying power shared out among orders
    matching      the open of a candle
    cross         positions that share the account's margin, and their liquidation
    way           its way from there to the close
    quiet         candles of one symbol that meet nothing and decide nothing
"""
