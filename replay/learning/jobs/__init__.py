"""
Training in a process of its own, and the folder through which it is asked and answers.

    job runner            what it is given and gives back; one attempt for a daemon, a whole walk for a replay
    worker trainer        that process; from settings to a model
    checkpoints           where it goes on after it was cut off
"""
