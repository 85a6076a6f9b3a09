"""
A local exchange with Delta's REST and websocket, both generations of the protocol, streaming tapes as if live.

Written from the protocol reference alone: it shares no code with the client that it tests.
"""

from replay.venue.faults import FAULT_KINDS, Fault, Faults
from replay.venue.switches import Switches
from replay.venue.venue import Venue

__all__ = ["FAULT_KINDS", "Fault", "Faults", "Switches", "Venue"]
