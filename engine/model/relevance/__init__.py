"""
Relevance: which inputs a model needs.

    groups       inputs that say the same thing
    selection    inputs that are chosen again and again from the rows of training
    importance   what inputs are worth to a model that is there
"""
