"""
Monte Carlo: how else a result could have turned out.

    draws    resampling of a result's trades and days: every kind, and what it can tell
    markets  resampling of whole markets: all symbols together, with candles, volume and funding
    placebo  a replay's trades as placebo strategies need them
    engines  one configuration replayed on every resampled market, in processes
    fans     what is plotted of paths: quantiles over time, histograms of their ends
    page     the page, and tables of what it plots
"""
