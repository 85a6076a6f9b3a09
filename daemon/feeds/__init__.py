"""
Live feeds: from a venue's sockets to final candles.

    protocol answers      what a live feed is; one answer of a history        backoff   how long to wait before the next attempt
    delta                 Delta Exchange: its sockets and messages
    ccxt                  every other venue, through ccxt.pro
    finality              forming, closed, final: which candle counts, and when
    history venue_clock halts   history asked with patience; the venue's time; what does not trade
    outbox journalled     what is ready for the reader; between the world and the engine, by way of the disk
    settlements           funding between candles, each settlement once
    told_markets          ticks, fees and margins as the venue has them now
    series                marks, index and open interest, told before the candle that may see them
    candle_schedule       what is done between two instants at set times of the candles' clock
"""
