"""
Other daemons on the page of this one: the status of each, read only.

    answers  the models of the answers
    tokens   the token for each daemon
    asking   one request to one daemon: bounded in size and time, its answer not trusted
    watch    the thread that polls them while the page is open
    routes   the route
"""
