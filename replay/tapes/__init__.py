"""replay/tapes."""
