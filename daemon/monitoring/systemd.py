"""
What systemd is told of a `Type=notify` service: datagrams to the socket that $NOTIFY_SOCKET names (sd_notify(3)).

Started by hand there is no such variable, and nothing is sent. With `WatchdogSec=` in the unit, systemd restarts a daemon that
has not sent `WATCHDOG=1` for that long; it is sent from the event loop, so a loop that hangs is noticed.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from typing import Final

READY: Final = "READY=1"
STOPPING: Final = "STOPPING=1"
WATCHDOG: Final = "WATCHDOG=1"


class Notifier:
    """Tells systemd about states; a service manager that does not listen is no reason to stop trading."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # "@name" is a socket in Linux's abstract namespace.
        self._address = "\0" + path[1:] if path.startswith("@") else path
        is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        timeout_us = environment.get("WATCHDOG_USEC", "0")
        self.watchdog_s = int(timeout_us) / 1e6 if timeout_us.isdigit() and is_ours else 0.0

    def tell(self, *lines: str) -> bool:
        """Send one message of `NAME=value` lines; return whether somebody took it."""
        if not self._address:
            return False
        message = "\n".join(line.replace("\n", " ") for line in lines)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
                out.setblocking(False)
                out.sendto(message.encode(), self._address)
        except OSError:
            return False
        return True

    def ready(self, status: str) -> bool:
        """Say that the start is over."""
        return self.tell(READY, f"STATUS={status}")

    def status(self, status: str) -> bool:
        """Say in one line what goes on; `systemctl status` shows it."""
        return self.tell(f"STATUS={status}")

    def stopping(self, status: str = "finishing the candle") -> bool:
        """Say that the end has begun."""
        return self.tell(STOPPING, f"STATUS={status}")

    async def watchdog(self) -> None:
        """Send signs of life twice per timeout, for ever; return at once when there is no watchdog."""
        while self.watchdog_s > 0.0:
            self.tell(WATCHDOG)
            await asyncio.sleep(self.watchdog_s / 2.0)
