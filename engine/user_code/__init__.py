"""
Code of users, as an engine meets it.

    raised             an exception of theirs in words
    undeclared_state   what it keeps where no snapshot finds it
"""
