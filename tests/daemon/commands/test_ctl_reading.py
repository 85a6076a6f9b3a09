"""`papertape ctl peers`, `calibration`, `shadow` and `changes`: figures where there are some, and the reason where there are none."""

import json
from contextlib import nullcontext
from typing import Any

import pytest

from papertape.daemon.commands import ctl_reading
from papertape.daemon.monitoring.api.answers import (
    CalibrationView,
    ReliabilityBucket,
    ShadowModel,
    ShadowView,
)
from papertape.daemon.monitoring.peers.answers import Peer, Peers, PeerState
from tests.support.commands import invoke

MODEL = ShadowModel(
    attempt=3,
    version=2,
    is_in_force=False,
    since_ms=0,
    until_ms=1,
    rows=9,
    waiting=1,
    trades=1_204,
    net_return=-0.0312,
    log_loss=0.7012,
    majority_log_loss=None,
)
SHADOW = ShadowView(policy="shadow", n_models=1, trades=1_204, net_return=-0.0312, models=(MODEL,))
NOTHING = ShadowView(policy="", reason="this account uses no model")
BUCKET = ReliabilityBucket(name="0.55-0.60", rows=1_500, stated=0.571, realised=None)
SAID = CalibrationView(reason="", since_ms=0, waiting=7, unknown=1_002, buckets=(BUCKET,), versions=())
LOST = Peer(name="desk", url="http://127.0.0.1:1", state=PeerState.LOST, reason="nobody \x1b[2J answers")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Return what the daemon of the commands says, by method of the client."""
    answers: dict[str, Any] = {}

    class Daemon:
        def __getattr__(self, name: str) -> Any:
            return lambda *asked, **query: answers[(name, *asked, *query.items())] if asked else answers[name]

    monkeypatch.setattr(ctl_reading, "daemon_of", lambda *_, **__: nullcontext(Daemon()))
    return answers


def test_a_shadow_record_is_told_as_what_was_not_traded(said: dict[str, Any]) -> None:
    said["shadow"] = SHADOW
    told = invoke("ctl", "shadow")
    for words in (
        "v2",
        "no",
        "1,204",
        "-3.12%",
        "0.7012",
        "on paper, not in the account: -3.12% of one stake in 1,204 trades of 1 models",
    ):
        assert words in told
    assert json.loads(invoke("ctl", "shadow", "--json"))["models"][0]["majority_log_loss"] is None
    said["shadow"] = NOTHING
    assert invoke("ctl", "shadow") == "nothing to tell: this account uses no model\n"


def test_calibration_has_counts_and_none_for_what_is_not_known(said: dict[str, Any]) -> None:
    said["calibration"] = SAID
    told = invoke("ctl", "calibration")
    assert "0.55-0.60   57.1%   –          1,500" in told
    assert "7 wait for their outcome, of 1,002 it cannot be told" in told


def test_other_daemons_are_listed_with_what_is_wrong(said: dict[str, Any]) -> None:
    said["peers"] = Peers(now_ms=0, peers=(LOST,))
    told = invoke("ctl", "peers")
    assert "desk  lost" in told
    assert "\x1b[2J" not in told
    said["peers"] = Peers(now_ms=0, peers=())
    assert "daemon.peers names them" in invoke("ctl", "peers")


def test_what_became_another_of_markets_is_listed_with_who_said_so(said: dict[str, Any]) -> None:
    at_ms = 1_795_428_931_000  # 2026-11-23 10:15:31 UTC
    row = {"input": 7, "sequence": 1, "time_ms": at_ms, "symbol": "BTC[x]", "place": 0, "chapter": None}
    rows = [
        {**row, "figure": "bracket_rate", "place": 1, "before": 0.01, "after": None},
        {**row, "figure": "tick_size", "before": 0.01, "after": 0.5, "chapter": "wider stop"},
    ]
    said["rows", "changes", 100] = rows
    said["rows", "changes", 1, ("symbol", "BTC[x]")] = rows[:1]
    said["rows", "changes", 2] = []

    told = [line.split("  ") for line in invoke("ctl", "changes").splitlines()]

    assert [[cell.strip() for cell in line if cell.strip()] for line in told] == [
        ["known", "market", "figure", "before", "after", "by"],
        ["2026-11-23 10:15:31", "BTC[x]", "bracket_rate, row 2", "0.01", "–", "venue or date"],
        ["2026-11-23 10:15:31", "BTC[x]", "tick_size", "0.01", "0.5", "chapter 'wider stop'"],
    ]
    one = invoke("ctl", "changes", "--symbol", "BTC[x]", "--limit", "1", "--json")
    assert json.loads(one) == rows[:1]
    assert "no market has become another" in invoke("ctl", "changes", "--limit", "2")
    said["rows", "changes", 2, ("symbol", "BTC[x]")] = []
    told_of_one = invoke("ctl", "changes", "--symbol", "BTC[x]", "--limit", "2")
    assert told_of_one.strip() == "BTC[x] has not become another since the account began"
