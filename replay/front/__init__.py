"""
The front door for Python and notebooks: what `import papertape` offers of this room.

    backtest sweep optimize montecarlo walkforward learn_study research   the calls: backtest; sweep; optimize; montecarlo; walkforward; learn_study; windows, study, prove, fetch
    holdout              candles locked for every search
    data strategy        what a caller may give as candles and as a strategy
    arguments            from a call's arguments to a configuration; what is unknown is answered with what to write
    progress             bars in a notebook and on a terminal
"""
