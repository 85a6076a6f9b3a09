"""replay/research."""
