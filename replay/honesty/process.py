from typing import Any


def run_honesty(*a: Any) -> None: ...
