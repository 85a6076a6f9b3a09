"""replay/events."""
