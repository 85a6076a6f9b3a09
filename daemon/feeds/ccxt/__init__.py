"""
Every venue but Delta, through ccxt.pro.

    feed      streams, with the venue's own history deciding what is final
    streams   one watcher per symbol, kept alive from outside
    markets   which markets are there, and which of them trade
    figures   steps, fees and leverage of a market, as the venue says them
    funding   settlements, asked of the venue's history
    series    marks, index prices and open interest, asked for now and then
    units     whether a stream counts volume as the history does
"""
