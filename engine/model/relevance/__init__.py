"""
Relevance: which inputs a model needs.

    groups       inputs that say the same thing
    importance   what inputs are worth to a model that is there
"""
