"""
Chapters of a running account: from a stated instant on it has another strategy, other parameters, costs, limits or parts.

    chapter   the input that a journal keeps of it
    lineage   which account was in force at which input
    changes   what may change, and what may not
    opening   a start that begins one
    stepping  an engine that takes a journal's inputs, from chapter to chapter
    figures   what each chapter came to
"""
