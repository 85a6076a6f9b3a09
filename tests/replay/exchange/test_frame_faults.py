"""Faults that meet on one frame."""

from itertools import permutations
from types import SimpleNamespace

import pytest

from papertape.replay.exchange.faults import Fault
from papertape.replay.exchange.frame_faults import _CHANGES, FrameFaults

FRAME = b'{"sy":"BTCUSD","type":"candlestick_1m","o":"1","c":"2","cs":5}'


@pytest.mark.parametrize("kinds", list(permutations(_CHANGES, 2)), ids="-".join)
def test_any_two_faults_can_meet_on_a_frame(kinds: tuple[str, str]) -> None:
    active = [Fault(0, kind, 1000, amount=1.0) for kind in kinds]
    mangler = FrameFaults(SimpleNamespace(now=active, seed=1), 0)

    sent = mangler.frames("ob_updates", "BTCUSD", FRAME)

    lost = {"drop", "seq_gap", "swap", "truncate", "wrong_cs"}  # these spare no frame
    assert (FRAME in sent) != bool(lost & set(kinds)) or "duplicate" in kinds
