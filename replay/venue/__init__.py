"""
A local exchange with Delta's REST and websocket, both generations of the protocol, streaming tapes as if live.

Written from the protocol reference alone: it shares no code with the client that it tests.
"""

from papertape.replay.venue.faults import FAULT_KINDS, Fault, Faults
from papertape.replay.venue.switches import Switches
from papertape.replay.venue.venue import Venue

__all__ = ["FAULT_KINDS", "Fault", "Faults", "Switches", "Venue"]
