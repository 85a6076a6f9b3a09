"""
Drift: whether the world is still that of the training, and what follows if not.

    watch       the one state machine, which replay and daemon host
    monitor     inputs, predictions and outcomes beside those of the training     psi   population stability index
    detectors   ADWIN and Page–Hinkley over resolved predictions
    policy      from signs to a level, and from levels to actions
"""
