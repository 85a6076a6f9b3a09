"""
A local exchange with Delta's REST and websocket, both generations of the protocol, streaming tapes as if live.

Written from the protocol reference alone: it shares no code with the client that it tests.
"""

from papertape.replay.exchange.faults import FAULT_KINDS, Fault, Faults
from papertape.replay.exchange.quirks import Switches
from papertape.replay.exchange.server import Venue

__all__ = ["FAULT_KINDS", "Fault", "Faults", "Switches", "Venue"]
