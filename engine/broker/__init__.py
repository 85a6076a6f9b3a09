"""
The broker: from decisions to orders, fills and money, one instant of all symbols at a time.

    account     records of account, position, order and open trade     ledger    double entry
    orders      from a decision to an order that rests                 sizing    from risk to a quantity
    execution   every instant of a batch: match, post, mark, decide    fills     what an order or a bracket gets from a candle
    entries     entries of one instant, shared out                     grid      prices and sizes as the market writes them
    funding     settlements of perpetuals                          working   orders that rest: life cycle, instructions, matching
    bracket     stop, target and liquidation against a candle      risk       limits of the account, margin of a position
    halts listing   what is not traded for now; what is not there yet, or no more
"""
