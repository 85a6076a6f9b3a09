"""The world: commands, configuration, live feeds."""
