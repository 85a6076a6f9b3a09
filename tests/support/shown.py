"""Commands on a page, and whether they print what is shown there."""

import re
import shlex
from pathlib import Path

from tests.support.commands import Inside

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = re.compile(r"\b\d+\.\d+ s\b")
NUMBER = re.compile(r"[-+±]?\d[\d.,]*%?|–")


def commands(body: str) -> list[tuple[str, int, list[str]]]:
    """Return (command, exit code, lines shown) of a console block."""
    found: list[tuple[str, int, list[str]]] = []
    for line in body.splitlines():
        if line.startswith("$ "):
            command, _, comment = line[2:].partition("  # exit ")
            found.append((command, int(comment or 0), []))
        elif found:
            found[-1][2].append(line)
    return found


def is_shown(shown: list[str], printed: str) -> bool:
    """Return whether the lines stand in the output in this order; `…` stands for anything."""
    parts = [re.escape(SECONDS.sub("N s", line.rstrip())) for line in shown]
    pattern = "\n".join(part.replace("…", ".*") if part != "…" else r"(?:.*\n)*?.*" for part in parts)
    text = "\n".join(line.rstrip() for line in SECONDS.sub("N s", printed).splitlines())
    return re.search(pattern, text) is not None


def mask(lines: list[str]) -> list[str]:
    """Return lines without their numbers: those of a trained network are another processor's in the fourth digit."""
    return [re.sub(r"\s+", " ", NUMBER.sub("N", line)).strip() for line in lines]


def check_page(page: Path, inside: Inside, folder: Path, *, is_masked: bool = False) -> int:
    """
    Run the commands of a page in its order, compare what each prints and how it ends, and return how many there were.

    is_masked  leave numbers out of the comparison
    """
    ran = 0
    for kind, body in BLOCK.findall(page.read_text(encoding="utf-8")):
        for command, code, shown in commands(body) if kind == "console" else ():
            program, *words = shlex.split(command)
            done = inside(*words, cwd=folder)
            ran += 1

            assert program == "papertape"
            assert done.returncode == code, f"{command}: {done.stderr}"
            expected, printed = [line for line in shown if line], done.stdout
            if is_masked:
                expected, printed = mask(expected), "\n".join(mask(printed.splitlines()))
            assert is_shown(expected, printed), f"{command} printed\n{done.stdout}"
    return ran
