"""Smart Money Concepts: market structure as events that are said once, when they are known."""
