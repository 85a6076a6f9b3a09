"""replay/runtime."""
