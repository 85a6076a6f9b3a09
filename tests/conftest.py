"""Make `helpers` and `tests.oracles` importable from every test module."""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parent
sys.path[:0] = [str(_TESTS), str(_TESTS.parent)]
