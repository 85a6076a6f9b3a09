"""
Code of users, as an engine meets it.

    raised             an exception of theirs in words
    importing          modules of theirs as their files say
    compiling          a function of theirs that kernels call by address
    definition         a digest of it and of everything that it refers to
    undeclared_state   what it keeps where no snapshot finds it
"""
