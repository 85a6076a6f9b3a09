"""
Measures on rows that a model has not seen, each with its limits.

    comparison   two models side by side
    worth        what a model's inputs are worth
"""
