"""
Decisions: those that ask a strategy at its closes and run the instants between.

    turns     whose turn it is, where the parameters change at some times
    kernels   a strategy in kernels, a whole batch at a time
    python    a strategy in Python, once per close
    compiled  the same text as a kernel, once per close
    stretch   closes that are run ahead of a strategy in Python, and the rows of its answers
    ahead     the kernels of that
    closes    the loop over closes around a strategy in kernels
    showing   what it sees there, and what it is told
    refused   a call that means nothing, in words
    columns   what a strategy may read
    hooks     what a strategy in Python is told of its fills and trades
    faults    a strategy at fault: what is said of it, and how entries pause
"""
