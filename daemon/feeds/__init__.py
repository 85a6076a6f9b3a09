"""
Live feeds: from a venue's sockets to final candles.

    protocol    what a live feed is, what it counts, what it tells
"""
