"""Recorded data: tapes, backtests, research and reports."""
