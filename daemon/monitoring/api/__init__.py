"""
`/api/v1`: what the journal's tables tell, read in a thread of its own, never in the event loop.

    routes              the routes, what may be asked of each, and the handlers
    reader              the thread and its own connection, which only reads
    listings columns    tables as cursor pages, newest first; what their columns mean
    candles equity      windows with true extremes, however long they are
    closes structure    what was seen and answered at each close, lines of features, market structure of a window
    stream              a snapshot, then numbered deltas over a websocket
    answers             models of what is no page of a table
"""
