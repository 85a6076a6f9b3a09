"""
Backtests as a service: replays on request, each in its own process.

    answers     models of jobs, results and comparisons
    choices     what can be chosen: strategies, tapes, the daemon's own configuration
    request     which requests are allowed: which sections, which tapes, whose code
    jobs        the folder of jobs, which outlives the daemon
    service     the queue, and the supervision of processes
    worker      the process: a configuration in, a result folder out, as `papertape replay` makes it
    results     a saved result read for an answer: figures, curve, pieces of its files
    curves      two equity curves from one start
    comparison  two results, or a result and the live account
"""
