"""replay/report."""
