"""
The report: one self-contained page that opens from disk.

    page data            the page, and what it is given        notebook   how values look in a notebook
    returns structure event_study   days and falls; market structure; what followed events
    orders features steps           orders, fills and levels; what the strategy looked at; what was said at each close
    account_events                  what protected the account and what it paid, each with its reason
    web                  scripts and styles, which the page holds
"""
