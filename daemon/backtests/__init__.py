"""
Backtests as a service: replays that a running daemon has made for whoever asks, each in a process of its own.

    answers     jobs, results and comparisons as they are told
    choices     what there is to choose from: strategies, tapes, the daemon's own configuration
    request     what may be asked: which sections, which tapes, whose code
    jobs        the folder of jobs: what is known of each outlives the daemon
    service     the queue, and who follows the processes
    worker      the process: a configuration in, a result folder out, as `papertape replay` makes it
    results     a result read again: figures, curve, pieces of its files
    curves      two equity curves from one start
    comparison  two results, or a result and the live account
"""
