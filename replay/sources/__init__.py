"""replay/sources."""
