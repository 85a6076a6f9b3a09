"""
Learning: retraining on the clock of the candles, in replay and live alike.

    settings feasible dataset   what the configuration means; whether it can train at all; rows to learn from
    policy challenge attempt    one attempt: train, judge, promote or not; what came of it, as a value
    evidence                    what models would have said, and what followed
    given                       models that a replay is given in place of training its own
    unseen                      two models side by side, and what inputs are worth, on rows that none has seen
    walk_forward drift          every attempt of a replay, in order, with the watch on drift
    learning_pass               the learning pass of a backtest
    jobs                        training in a process of its own
    by_hand                     a logistic model of one tape
"""
