"""sd_notify over a real datagram socket."""

import asyncio
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from papertape.daemon.monitoring.systemd import Notifier
from tests.support.virtual_time import VirtualTimeLoop


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Return the socket that systemd would listen on."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.setblocking(False)
        yield listening


def notifier(manager: socket.socket, **more: str) -> Notifier:
    return Notifier({"NOTIFY_SOCKET": manager.getsockname(), **more})


def test_states_arrive_as_one_datagram_each(manager: socket.socket) -> None:
    ours = notifier(manager)

    assert ours.ready("3 symbols")
    assert ours.status("recovering\nstep 4")
    assert ours.stopping()

    assert manager.recv(4096) == b"READY=1\nSTATUS=3 symbols"
    assert manager.recv(4096) == b"STATUS=recovering step 4"  # a line break would be a second field
    assert manager.recv(4096) == b"STOPPING=1\nSTATUS=finishing the candle"


def test_an_abstract_socket_is_reached() -> None:
    name = f"papertape-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind("\0" + name)
        listening.setblocking(False)

        assert Notifier({"NOTIFY_SOCKET": "@" + name}).ready("up")

        assert listening.recv(4096) == b"READY=1\nSTATUS=up"


def test_nothing_is_sent_and_nothing_fails_where_nobody_listens(tmp_path: Path) -> None:
    assert not Notifier({}).ready("up")
    assert not Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")}).ready("up")


def test_the_watchdog_is_fed_twice_per_timeout(manager: socket.socket) -> None:
    ours = notifier(manager, WATCHDOG_USEC="30000000", WATCHDOG_PID=str(os.getpid()))
    loop = VirtualTimeLoop()

    async def a_minute() -> None:
        feeding = asyncio.create_task(ours.watchdog())
        await asyncio.sleep(61.0)
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)

    try:
        loop.run_until_complete(a_minute())
    finally:
        loop.close()

    received = []
    while True:
        try:
            received.append(manager.recv(4096))
        except BlockingIOError:
            break
    assert received == [b"WATCHDOG=1"] * 5  # at 0, 15, 30, 45 and 60 s


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}]
)
async def test_without_a_watchdog_of_ours_the_task_ends_at_once(
    manager: socket.socket, environment: dict[str, str]
) -> None:
    ours = notifier(manager, **environment)

    await ours.watchdog()

    with pytest.raises(BlockingIOError):
        manager.recv(4096)
