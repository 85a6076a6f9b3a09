"""
A local exchange with Delta's REST and websocket, both generations of the protocol, streaming tapes as if live.

    market trades book derived products   one market, its trades, its book, series beside it, its listing
    world schedule quirks                 all markets on one clock; what happens next; what nobody knows for certain
    messages quotes candle_states         frames of both protocols, and what they say
    streams hub subscriptions session     frames in time order; who listens; one connection
    rest history pages cdn                answers without sockets
    faults active_faults frame_faults fault_effects   what goes wrong: the plan, what holds now, and what it does
    server                                the sockets

Written from the protocol reference alone: it shares no code with the client that it tests.
"""

from papertape.replay.exchange.faults import FAULT_KINDS, Fault, Faults
from papertape.replay.exchange.quirks import Switches
from papertape.replay.exchange.server import Venue

__all__ = ["FAULT_KINDS", "Fault", "Faults", "Switches", "Venue"]
