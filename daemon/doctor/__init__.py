"""
The doctor: is this machine fit, and is the venue what the reference says it is?

    exam finding         what is to be examined; one row: expected, observed, and what that means
    machine              the machine and the configuration
    listen streams       what a socket says in a while; rows 1 to 5 from it, compared with the history
    rest settlement      rows 7, 8, 10 and 13, by asking; rows 11 and 15, on a long examination
    examine              all of it on one venue, at once where that saves time
    ccxt_venue           a venue of ccxt instead
    fixtures             raw frames and answers into a folder
"""
