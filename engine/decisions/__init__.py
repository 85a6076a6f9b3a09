"""
Decisions: ask a strategy at its closes and execute the instants between them.

    turns     which strategy is in turn, where its parameters change at stated times
    kernels   a strategy in kernels, a whole batch at a time
    python    a strategy in Python, once per close
    compiled  a Python strategy compiled to a kernel, once per close
    stretch   closes that are run ahead of a strategy in Python, and the rows of its answers
    ahead     the kernels for that
    closes    the loop over closes around a strategy in kernels
    showing   what such a strategy sees at a close, and which events it receives
    refused   the message for an instruction that no order can mean
    columns   which columns a strategy may read
    hooks     fills and trades passed on to a strategy in Python
    faults    errors of a strategy: their message, and how entries pause
"""
