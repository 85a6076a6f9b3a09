"""
Other daemons on the page of this one: what each says of itself, read only.

    answers  what is told of them
    tokens   with which token each is asked
    asking   one question to one of them: bounded in size and time, and what it answers is not trusted
    watch    who asks them all, while somebody looks on
    routes   the route
"""
