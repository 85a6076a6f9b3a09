"""
Notifications through apprise: events of the account and users' own rules. They only read, and nothing waits for them.

    addresses  where messages go: from a file or the environment, never written anywhere
    messenger  a thread with a bounded queue: messages grouped, with a limit per hour
    memory     what was sent already, kept in the journal, so that a restart sends nothing twice
    rules      users' own rules
    account    from reports, attempts, drift and the feed to sentences

This package imports none of them: the check of a configuration needs rules and no daemon.
"""
