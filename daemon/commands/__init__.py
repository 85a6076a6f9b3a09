"""
Commands: one file per group, each from words to values, to one call, to a table.

    replay sweep optimize walkforward trials montecarlo calibrate   replay, demo; sweep; optimize; walkforward; what was ever tried; what could have been; how often all this errs
    checks signals                 verify, prove; features, study
    run ctl ctl_backtest ctl_reading top sim doctor journal upgrade   a daemon, and what is done about one
    statement                      every amount of a result or of a daemon
    tape tape_fetch tape_options tape_tables   recorded candles
    train models windows drift learn_study recipe_study honesty learning_tables   models
    configuration                  the configuration
    options daemon_client output searches terminal   what they share: options, who talks to a daemon, consoles, JSON, progress; nothing wide is cut
"""
