"""A real browser, where the machine has one."""

import shutil
import subprocess
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or ""
needs_browser = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium on this machine to open the page with"
)


def open_in_browser(page: Path, profile: Path, query: str = "") -> str:
    """Return the page's DOM after its scripts have run."""
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         f"--user-data-dir={profile}", "--virtual-time-budget=10000", "--dump-dom", f"{page.as_uri()}{query}"],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout
