"""deploy/install.py: torch's build for the CPU or none, whatever an index does, and never CUDA unasked."""

import contextlib
import importlib.util
import socket
import subprocess
import sys
import threading
import venv
import zipfile
from collections.abc import Iterator, Sequence
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
WANTED = "torch==2.13.0"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("install", ROOT / "deploy" / "install.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


install = load()


@contextlib.contextmanager
def serving(handler: Any) -> Iterator[str]:
    """Serve on the loopback and yield the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=partial(server.serve_forever, 0.02))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def answering(body: str, status: int = 200) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None: ...

    return Handler


@pytest.mark.parametrize(
    ("body", "status", "is_there"),
    [
        ('<a href="torch-2.13.0%2Bcpu-cp311-cp311-linux.whl">', 200, True),
        ("<a>torch-2.13.0+cpu-cp311-cp311-linux.whl</a>", 200, True),
        ("<a>torch-2.13.0-cp311-none-macosx_11_0_arm64.whl</a>", 200, True),
        ("<a>torch-2.12.0+cpu-cp311-cp311-linux.whl</a>", 200, False),
        ("<a>torch-2.13.0+cpu-cp311-cp311-linux.whl</a>", 404, False),
        ("", 200, False),
    ],
)
def test_an_index_has_a_release_or_not(body: str, status: int, is_there: bool) -> None:
    with serving(answering(body, status)) as address:
        assert install.has_release(address, "2.13.0") is is_there


def test_an_index_that_refuses_is_left_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    assert not install.has_release(f"http://127.0.0.1:{port}", "2.13.0", 60.0)


@pytest.mark.parametrize("is_dribbling", [False, True])
def test_an_index_that_hangs_is_left_in_time(is_dribbling: bool) -> None:
    """A server that says nothing, and one that says a byte now and then, for ever."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            while not stopped.wait(0.02):
                if is_dribbling:
                    with contextlib.suppress(OSError):
                        self.wfile.write(b"x")

        def log_message(self, *_: object) -> None: ...

    with serving(Handler) as address:
        asked: list[bool] = []
        thread = threading.Thread(target=lambda: asked.append(install.has_release(address, "2.13.0", 0.2)))
        thread.start()
        thread.join(30.0)  # far more than it may take, far less than for ever
        stopped.set()

    assert asked == [False]


class FakePip:
    """A pip that would take these packages, and remembers what it was asked for."""

    def __init__(self, found: Sequence[str], code: int = 0) -> None:
        self.found, self.code = list(found), code
        self.installed: list[Sequence[str]] = []

    def would_bring(self, _wanted: str, _command: Sequence[str]) -> list[str]:
        return self.found

    def __call__(self, arguments: Sequence[str], *_: object) -> subprocess.CompletedProcess[bytes]:
        self.installed.append(arguments)
        return subprocess.CompletedProcess([], self.code)


CPU = ["torch", "sympy", "mpmath"]
CUDA = ["torch", "sympy", "nvidia-cublas", "nvidia-cudnn-cu13", "triton", "cuda-bindings"]


@pytest.mark.parametrize(
    ("there", "answers", "found", "taken", "told"),
    [
        ("2.13.0", False, [], None, ""),  # it is there already
        ("", True, CUDA, "index", ""),
        ("2.9.0", True, CUDA, "index", ""),  # another release is not what is wanted
        ("", False, CPU, "anywhere", ""),
        ("", False, CUDA, None, "brings CUDA (4 packages)"),
        ("", False, [], None, "nor pip's own places have it"),
    ],
    ids=["there", "index", "another", "local", "cuda", "nowhere"],
)
def test_torch_comes_for_the_cpu_or_not_at_all(
    there: str,
    answers: bool,
    found: list[str],
    taken: str | None,
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pip = FakePip(found)
    monkeypatch.setattr(install, "installed", lambda: there)
    monkeypatch.setattr(install, "has_release", lambda *_: answers)
    monkeypatch.setattr(install, "would_bring", pip.would_bring)
    monkeypatch.setattr(install, "pip", pip)

    has_torch = install.get_torch(WANTED, "http://index")

    assert has_torch is (taken is not None or there == "2.13.0")
    assert len(pip.installed) == (taken is not None)
    for arguments in pip.installed:
        assert ("--index-url" in arguments) is (taken == "index")
    said = capsys.readouterr().err
    assert told in said
    assert bool(said) is not has_torch
    if told:
        assert "everything but the training of networks works" in said
        assert "TORCH=cuda" in said or "nor pip's" in said


@pytest.mark.parametrize(
    ("torch", "has_torch", "extras"),
    [
        ("cpu", True, "[test,train]"),
        ("cpu", False, "[test]"),
        ("cuda", False, "[test,train]"),
        ("none", True, "[test]"),
    ],
)
def test_the_rest_is_installed_with_or_without_training(
    torch: str, has_torch: bool, extras: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pip = FakePip([])
    monkeypatch.setattr(install, "get_torch", lambda *_: has_torch)
    monkeypatch.setattr(install, "pip", pip)

    assert install.main(["--extra", "test", "--torch", torch, "--editable"]) == 0

    ((*_, editable, target),) = pip.installed
    assert editable == "--editable"
    assert target == f"{ROOT}{extras}"


def test_a_build_that_does_not_exist_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TORCH", "gpu")

    with pytest.raises(SystemExit):
        install.main([])

    assert "TORCH=gpu: choose cpu, cuda or none" in capsys.readouterr().err


def wheel(folder: Path, name: str, release: str, *needs: str) -> None:
    """Write a wheel of an empty package."""
    about = f"{name.replace('-', '_')}-{release}.dist-info"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {release}"]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace('-', '_')}-{release}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(
            f"{about}/METADATA", "\n".join([*lines, *(f"Requires-Dist: {n}" for n in needs)]) + "\n"
        )
        packed.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        packed.writestr(f"{about}/RECORD", "")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


@pytest.mark.slow
@pytest.mark.parametrize("case", ["index", "local", "cuda"])
def test_a_real_pip_takes_the_build_for_the_cpu(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An index on the loopback and a folder of wheels, into an environment that is new."""
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    wheel(tmp_path / "cpu" / "torch", "torch", "2.13.0+cpu", 'nvidia-cublas; extra == "gpu"')
    if case == "local":
        wheel(tmp_path / "found", "torch", "2.13.0+cpu", 'nvidia-cublas; python_version < "3"')
    wheel(tmp_path / "found", "torch", "2.13.0", "nvidia-cublas", 'triton==3.5; python_version < "4"')
    wheel(tmp_path / "found", "nvidia-cublas", "13.0")
    wheel(tmp_path / "found", "triton", "3.5")
    for name in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CONSTRAINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "found"))
    if case != "index":
        monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(install, "installed", lambda: "")
    command = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")

    with serving(partial(Quiet, directory=str(tmp_path / "cpu"))) as address:
        index = address if case == "index" else "http://127.0.0.1:9"
        has_torch = install.get_torch(WANTED, index, command)

    there = subprocess.run(
        [*command, "list", "--format=freeze"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert has_torch is (case != "cuda")
    assert there == (["torch==2.13.0+cpu"] if has_torch else [])


def test_make_and_the_image_go_through_it() -> None:
    for file in ("Makefile", "deploy/Dockerfile"):
        text = (ROOT / file).read_text(encoding="utf-8")
        assert "deploy/install.py" in text
        # What other engines of the conformance table need has neither papertape nor torch in it.
        others = "$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -r $<"
        assert "pip install" not in text.replace(others, "")
