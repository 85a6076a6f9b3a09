"""
Trials past one machine.

    cluster  a Dask cluster that does trials
    remote   what a worker of it does
"""
