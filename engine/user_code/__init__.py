"""
Code of users, as an engine meets it.

    raised             an exception of theirs in words
    compiling          a function of theirs that kernels call by address
    undeclared_state   what it keeps where no snapshot finds it
"""
