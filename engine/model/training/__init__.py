"""
Training: from rows to an artefact.

    options prepare parts   how a model is trained; rows as a fit takes them, in parts that know nothing of each other
    labels                  what a model is to learn
    newton boosting torch_fit  the three ways to fit: the logistic kind, trees, and those with a memory
    shrink                  towards the base rate
    train                   all of it, in order
    diagnostics reference   what a record says of a model, for readers and for the watch on drift
"""
