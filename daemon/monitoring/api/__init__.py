"""
`/api/v1`: what the journal's tables tell, read in a thread of its own, never in the event loop.

    routes queries      the routes with their handlers, what may be asked of each
    account             what is told of the account: markets, refusals, where its journal stands
    statement           every amount of it in double entry
    reader              the thread and its own connection, which only reads
    listings columns    tables as cursor pages, newest first; what their columns mean
    closes              what was seen and answered at each close, lines of features
    stream              a snapshot, then numbered deltas over a websocket
    answers             models of what is no page of a table
"""
