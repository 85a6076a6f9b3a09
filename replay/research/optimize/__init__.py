"""
Optimisation: a search for parameters that proposes each batch of trials from the results so far.

    goals       objectives: metrics or a function of them; constraints that a trial must meet to count
    proposals   the sampler: optuna's TPE, CMA-ES, NSGA-II
    run         a search from its axes to its result
    result      the outcome: the best trial, the Pareto front of several goals, Parquet
"""
