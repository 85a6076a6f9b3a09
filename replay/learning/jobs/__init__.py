"""
Training in a separate process, which gets its job and leaves its result in a folder.

    job runner       the job and its result; one attempt for a daemon, a whole walk for a replay
    worker trainer   the process; from settings to a model
    checkpoints      where an interrupted training resumes
"""
