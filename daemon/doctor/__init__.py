"""
The doctor: is this machine fit, and is the venue what the reference says it is?

    exam        what is to be examined
    finding     one row: what was expected, what was observed, what that means
    machine     the machine and the configuration
    listen      what a socket says in a while, as it came
    streams     rows 1 to 5 from what was heard, compared with the history; pure
    rest        rows 7, 8, 10 and 13, by asking
    settlement  rows 11 and 15, on a long examination
    examine     all of it on one venue, in order and at once where that saves time
    library     a venue of ccxt instead
    fixtures    raw frames and answers into a folder
"""
