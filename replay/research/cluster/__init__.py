"""
Trials on a cluster of machines.

    cluster  a Dask cluster that runs trials
    remote   one trial on a worker of it
"""
