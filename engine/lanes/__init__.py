"""
One account over all candles of a reading in one call, from one event to the next: how searches run thousands of configurations.

    wishes     what a strategy wants, told where it changes
    stretches  the kernel that finds where it changes
    passing    the kernel: candles at which an account is only marked are passed over, all others are `execute`'s
    runs       which engines can be run so, and what is made of one
"""
