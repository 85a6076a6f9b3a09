"""
Parameters that are searched for: each batch of trials is proposed from what those before it have shown.

    goals       what is wanted: metrics or a function of them; what must hold for a trial to count
    proposals   the sampler, asked and told: optuna's TPE, CMA-ES, NSGA-II
    run         a search from its axes to its result
    result      what came of it: the best, the front of several goals, Parquet
"""
