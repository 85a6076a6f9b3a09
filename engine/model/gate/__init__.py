"""
The gate: whether a challenger may take over, on rows that nobody has seen, after costs.

    gate        criteria and evidence     verdict   what it said, as numbers and sentences
    bootstrap   how low the true mean of dependent rows may be
    recipe bets how models are made, judged over all its models: evidence that adds up, and what it is made of
"""
