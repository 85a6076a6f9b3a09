"""
Compiled strategies: Python strategies with `kernel` over their methods, called once per close.

    records   what a strategy sees and writes at a close
    meaning   what a call means: an instruction, or something that no order can mean
    view      the view: the methods that a strategy calls
    typing    the types that the compiler gives its records
    methods   what the compiled view can do
    entry     the strategy's methods as machine code
"""
