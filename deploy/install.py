"""
Install papertape where the Python that runs this has its packages, with torch's build for the CPU.

    .venv/bin/python deploy/install.py --extra test --extra lint --editable       make demo, make test
    /opt/papertape/bin/python deploy/install.py                                   the image

What PyPI has of torch for Linux brings CUDA: twenty packages, 2.7 GB. So torch comes first, by `--torch`:

    cpu   (default) what is installed already; else from PyTorch's own index for the CPU, if that answers within seconds;
          else from wherever pip finds it, if what it finds is built for the CPU; else none, and it is said
    cuda  whatever pip finds
    none  none: everything works but the training of networks

Then everything else, with the extra `train` if torch is there. It needs the standard library and pip.
"""

import argparse
import json
import os
import platform
import ssl
import subprocess
import sys
import tempfile
import threading
import tomllib
import urllib.request
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pip._vendor.packaging.requirements import Requirement  # who has pip has this

ROOT = Path(__file__).resolve().parents[1]
INDEX = "https://download.pytorch.org/whl/cpu"
ANSWER_S = 5.0
RESOLVE_S = 120.0  # of wall time for pip to say what it would take
PAGE_BYTES = 4 << 20
CUDA = ("nvidia-", "cuda-", "triton")  # what packages of the other build are called
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input")
BRIEFLY = ("--timeout", "10", "--retries", "1")


def main(arguments: Sequence[str] | None = None) -> int:
    """Install and return the exit code."""
    options = parse(arguments)
    wanted = requirement(options.project)
    extras = list(options.extra)
    if options.torch == "cuda" and installed():
        say(f"torch {version('torch')} is there already and stays; for another build `make clean` first")
    if options.torch == "cuda" or (options.torch == "cpu" and get_torch(wanted, options.index)):
        extras.append("train")
    target = str(options.project) + (f"[{','.join(extras)}]" if extras else "")
    constraints = options.project / "constraints.txt"
    command = ["install", "--quiet", "--constraint", str(constraints)]
    return pip([*command, *(["--editable"] if options.editable else []), target]).returncode


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(description="install papertape with torch's build for the CPU")
    parser.add_argument("--extra", action="append", default=[], help="of pyproject.toml")
    parser.add_argument("--editable", action="store_true")
    parser.add_argument("--torch", choices=("cpu", "cuda", "none"), default=os.environ.get("TORCH") or "cpu")
    parser.add_argument("--index", default=os.environ.get("TORCH_INDEX") or INDEX)
    parser.add_argument("--project", type=Path, default=ROOT)
    options = parser.parse_args(arguments)
    if options.torch not in ("cpu", "cuda", "none"):
        parser.error(f"TORCH={options.torch}: choose cpu, cuda or none")
    return options


def requirement(project: Path) -> str:
    """Return what the extra `train` asks for: `torch==2.13.0`."""
    text = (project / "pyproject.toml").read_text(encoding="utf-8")
    (wanted,) = tomllib.loads(text)["project"]["optional-dependencies"]["train"]
    return str(wanted)


def get_torch(wanted: str, index: str, command: Sequence[str] = PIP) -> bool:
    """Install torch for the CPU unless it is there, and return whether it is now."""
    release = wanted.partition("==")[2]
    if installed() == release:
        return True
    if has_release(index, release):
        own = ["install", "--quiet", "--no-deps", *BRIEFLY, "--index-url", index, wanted]
        if pip(own, command).returncode == 0:
            return True
    found = would_bring(wanted, command)
    cuda = [name for name in found if name.startswith(CUDA)]
    if found and not cuda:
        return pip(["install", "--quiet", *BRIEFLY, wanted], command).returncode == 0
    if cuda:
        reason = f"{index} did not give it within {ANSWER_S:g} s, and what pip finds elsewhere brings CUDA ({len(cuda)} packages)"
        way = "to take that say TORCH=cuda"
    else:
        reason, way = (f"neither {index} nor pip's own places have it for {platform.machine()}", "later")
    say(
        f"torch is not installed: {reason}; everything but the training of networks works. To add it: {way}, "
        f"or `pip install {wanted} --index-url {INDEX}`"
    )
    return False


def installed() -> str:
    """Return the release of torch that is installed, without the name of its build; nothing without."""
    try:
        return version("torch").partition("+")[0]
    except PackageNotFoundError:
        return ""


def has_release(index: str, release: str, seconds: float = ANSWER_S) -> bool:
    """Return whether an index answers in time, all in all, and has a wheel of that release."""
    pages: list[str] = []

    def ask() -> None:
        try:
            context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT"))
            address = f"{index.rstrip('/')}/torch/"
            with urllib.request.urlopen(address, timeout=seconds, context=context) as answer:  # noqa: S310 # of ours
                pages.append(answer.read(PAGE_BYTES).decode(errors="replace"))
        except (OSError, ValueError):
            return  # refused, unknown, not there: as good as silent

    # A name that is looked up and a server that dribbles know no time limit; the thread is left behind then.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    names = (f"torch-{release}-", f"torch-{release}+", f"torch-{release}%2B")
    return any(name in page for page in pages for name in names)


def would_bring(wanted: str, command: Sequence[str] = PIP) -> list[str]:
    """Return what pip would take for a requirement, from wherever it looks, and what that needs here; nothing if it finds none."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        asked = ["install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps", *BRIEFLY]
        try:
            done = pip([*asked, "--report", str(report), wanted], command, RESOLVE_S)
        except subprocess.TimeoutExpired:
            return []
        if done.returncode != 0 or not report.is_file():
            return []
        (entry,) = json.loads(report.read_text(encoding="utf-8"))["install"]
    needs = [Requirement(text) for text in entry["metadata"].get("requires_dist", ())]
    here = [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [str(name).lower().replace("_", "-") for name in (entry["metadata"]["name"], *here)]


def pip(
    arguments: Sequence[str], command: Sequence[str] = PIP, seconds: float | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run pip."""
    return subprocess.run([*command, *arguments], timeout=seconds)  # noqa: S603 # words of ours


def say(text: str) -> None:
    """Tell whoever watches."""
    sys.stderr.write(f"install: {text}\n")


if __name__ == "__main__":
    sys.exit(main())
