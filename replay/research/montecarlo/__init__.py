"""
Monte Carlo: what could have been.

    draws    a result's trades and days drawn again; every kind, and what it tells
    markets  whole markets drawn again: all symbols together, candles, volume and funding
    engines  a configuration replayed on each of them, in processes
"""
