"""
Chapters: an account that continues with another strategy, other parameters, costs or limits.

    carry  the account carried over, and the spec that it continues with
"""

from papertape.engine.chapters.carry import carry, from_then_on

__all__ = ["carry", "from_then_on"]
