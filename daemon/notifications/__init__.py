"""
Messages to people, through apprise: what happened, and rules of their own. All of it reads; nothing waits for it.

    addresses  where messages go: from a file or the environment, never written anywhere
    messenger  a thread with a bounded queue: grouped, at most so many an hour
    memory     what was told already, kept in the journal: a restart tells nothing twice
    rules      the user's own rules
    account    from reports, attempts, drift and the feed to sentences

Each is imported by itself, for the check of a configuration needs rules and no daemon.
"""
