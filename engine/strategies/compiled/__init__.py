"""
Strategies in kernels that are asked close by close: the text of a strategy in Python, with `kernel` over its methods.

    records   what such a strategy sees and writes at a close
    meaning   what a call of it means: an instruction, or what no order can mean
    view      its view: the methods that it calls
    typing    what the compiler takes its records for
    methods   what the view can do once it is compiled
    entry     its methods as machine code
"""
