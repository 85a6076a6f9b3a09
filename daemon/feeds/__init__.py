"""
Live feeds: from a venue's sockets to final candles.

    protocol                       what a live feed is, what it counts, what it tells
    delta                          Delta Exchange: everything below, put together
    frames fields                  bytes of a socket to small values, or a reason to count
    finality symbol_state rules    forming, closed, final: which candle counts, and when; pure, time is passed in
    bars trades                    states of candles, and candles from single trades
    backfill merge                 history before live; symbols to complete instants
    connection session             one socket that comes back; one open socket
    subscriptions backoff          what is asked for, how long to wait
    history venue_clock            the venue's history asked with patience; the venue's time
    frame_reader freshness funding what each frame does; silent subscriptions; settlements
    alarms outbox recorder         what is wrong around; what is ready for the reader; raw frames on demand
"""
