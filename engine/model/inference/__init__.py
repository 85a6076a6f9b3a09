"""
Inference: the model in force, on every symbol at every close.

    current       its state, and the swap to another one between two instants
    recent        the newest rows of every symbol, with which the next model is warmed up
    predictions   what it said, as records that leave the engine
"""
