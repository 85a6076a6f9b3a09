"""
Chapters: an account that goes on under another strategy, with other parameters, costs or limits.

    carry  the account handed over, and the spec that goes on with it
"""

from papertape.engine.chapters.carry import carry, from_then_on

__all__ = ["carry", "from_then_on"]
