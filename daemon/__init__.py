"""
The world: everything with a socket, a clock or a disk around the engine.

    cli commands                        `papertape`, a file per group of commands
    app running venues identity         composition root; a running daemon; which venue it follows; what its account is
    feeds                               from a venue's sockets to final candles
    journal recovery lock               write-ahead inputs and snapshots; back from them; one daemon per directory
    compare audit jobs chores           the same again and compared, all the time; scheduled work
    operation metrics server api log    what is seen and asked from outside      systemd    told to the supervisor
    store                               models on disk
    doctor                              the venue against what the client expects
    paced                               a loop for the local exchange at speed
"""
