"""
Monte Carlo: what could have been.

    draws    a result's trades and days drawn again; every kind, and what it tells
    markets  whole markets drawn again: all symbols together, candles, volume and funding
    placebo  a replay's trades as placebo strategies need them
    engines  a configuration replayed on each of them, in processes
    fans     what is drawn of paths: quantiles along the way, histograms of their ends
    page     the page of it, and the tables of what it draws
"""
