"""
`/api/v1`: the journal's tables over HTTP, read in a separate thread, never in the event loop.

    routes queries      the routes with their handlers, the parameters of each
    account             the account: markets, refusals, where its journal stands
    statement           every amount in double entry
    reader              the thread and its own connection, which only reads
    listings columns    tables as cursor pages, newest first; the meaning of their columns
    closes              inputs and decision at each close, lines of features
    stream              a snapshot, then numbered deltas over a websocket
    answers             models of the other answers
"""
