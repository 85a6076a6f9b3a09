"""
Retraining on the clock of the candles, in replay and live alike.

    settings   what the configuration means for learning         cadence     when models are trained
    rows       from candles to the rows that models learn from   challenge   one attempt: train, judge, promote or not
    walk       every attempt of a replay, in order               job         what a child process is given and gives back
    child      the process that trains                           process     starting it, following it, ending it
"""
