"""What a file of funding rates may hold: known to those who write or follow rates, and need no reader of files for it."""

from typing import Final

LARGEST_RATE: Final = 0.2  # of one settlement; the widest cap of a venue is a tenth of it
# Beside rates, in a daemon's export: whether the rate of a settlement was known. Such a file has every settlement.
RATE_IS_KNOWN: Final = "is_known"
