"""
The doctor checks the machine, and the venue against the protocol reference; numbers are rows of the reference's table.

    exam finding         what is to be checked; one row: expected, observed, meaning
    machine              the machine and the configuration
    listen streams       what a socket receives in a while; rows 1 to 5 from it, compared with the history
    rest settlement      rows 7, 8, 10 and 13 over REST; rows 11 and 15, in a long examination
    examine              a whole examination of one venue, concurrent where that saves time
    ccxt_venue           the same for a venue of ccxt
    fixtures             raw frames and answers saved to a folder
"""
