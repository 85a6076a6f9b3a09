"""
Learning: retraining on the clock of the candles, in replay and live alike.

    settings feasible dataset   what the configuration means; whether it can train at all; rows to learn from
    policy challenge attempt    one attempt: train, judge, promote or not; what came of it, as a value
    evidence comparison         what models would have said; two of them side by side, and how sure the difference is
    walk_forward drift          every attempt of a replay, in order, with the watch on drift
    learning_pass               the learning pass of a backtest
    jobs                        training in a process of its own
    by_hand                     a logistic model of one tape
"""
