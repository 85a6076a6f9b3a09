"""
Delta Exchange's stream as a feed.

    feed                           all below put together with finality
    connection session             a socket that comes back; one open socket
    subscriptions                  what is asked for and what was acknowledged
    messages fields reader         bytes to small values, and what each message does
    funding                        what the stream told of settlements
    freshness alarms               silent subscriptions; what is wrong around a feed
    recorder                       raw frames on demand
"""
