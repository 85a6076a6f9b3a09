"""Make `helpers` importable from every test module; tests have no packages of their own."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
