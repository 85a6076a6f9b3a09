"""
Research: what was tried and what that is worth, and experiments on the machinery itself.

    sweep                       many configurations over the same tapes, each as its replay would be
    cluster                     its trials past one machine
    shells                      its trials shared by several shells, by a folder
    optimize                    the best of them searched for, each batch proposed from what those before it have shown
    surface                     the page of a search: heat maps, slices, plateau beside peak, edges, neighbours
    walkforward                 parameters chosen on what was known, in one account that goes on
    trials                      the ledger of everything that was tried
    montecarlo                  what a result could have been, and a configuration on markets drawn again
    learn_study                 recipes for models compared on many tapes, corrected for how many were tried
    lookahead cuts              proof that nothing looks ahead, and where it cuts the tape
    series_study                what followed unusual funding, premium, open interest, long/short ratio, after costs
    subjects feature_subjects   what a proof is about: strategies; features, of users as well
    calibration                 how often the statistics of all this claim an edge in noise, and how often they find one
    training_windows            how many days of the past a model should learn from
    gate_study recipe_study drift_study planted   how often gate, recipe and drift watch err, on rows of a known law
"""
