"""
The runtime of the outer rooms: time, files and processes.

    clock loops        clocks, and event loops on which time is scaled or virtual
    files              files that are whole or absent
    sync               coroutines from code that is not asynchronous
    process isolated   child processes and their parents; a fork for users' code
    fork_server        a process that is begun once and forked for every piece of work
    worker             a child that does a job and says how far it is, as JSON lines
    compile warm       kernels compiled ahead, in two processes
    listening          how HTTP servers listen        allocation   how the C library keeps large arrays
"""
