"""The conformance table beside other engines: the same candles, the same instructions, and whose fills differ."""
