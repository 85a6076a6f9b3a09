"""
Commands, a module per group: each parses its arguments, makes one call and prints a table.

    replay sweep optimize walkforward trials montecarlo calibrate   replay, demo; sweep; optimize; walkforward; the trial ledger; Monte Carlo; how often the statistics err
    checks signals                 verify, prove; features, study
    run ctl ctl_backtest ctl_reading top sim doctor journal upgrade   a daemon, and commands to a running one
    statement                      every amount of a result or a daemon in double entry
    tape tape_fetch tape_options tape_tables   recorded candles
    train models windows drift learn_study recipe_study honesty learning_tables   models
    configuration                  the configuration
    options daemon_client output searches terminal   shared: options, the client of a daemon, consoles, JSON, progress, wide tables
"""
