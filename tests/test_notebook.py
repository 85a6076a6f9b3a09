"""A notebook: cells run by a real ipykernel, and what it would show."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

pytestmark = pytest.mark.slow  # a kernel starts, and everything is loaded in it

LONGEST_TEXT = 400  # of the plain text of a cell's result


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    folder = tmp_path_factory.mktemp("notebook")
    manager = KernelManager(connection_file=str(folder / "kernel.json"), transport="ipc")
    manager.ip = str(folder / "k")  # a socket in the folder
    manager.kernel_spec.argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def run(kernel: BlockingKernelClient, cell: str) -> list[dict[str, Any]]:
    """Run a cell and return what it showed; an exception in it is one here."""
    shown: list[dict[str, Any]] = []

    def hear(message: dict[str, Any]) -> None:
        content = message["content"]
        if message["msg_type"] == "error":
            shown.append({"error": f"{content['ename']}: {content['evalue']}"})
        elif message["msg_type"] in ("execute_result", "display_data", "update_display_data"):
            shown.append(content["data"])

    kernel.execute_interactive(cell, timeout=120, output_hook=hear)
    assert not any("error" in one for one in shown), shown
    return shown


STRATEGY = """
from papertape import Decision, FLAT, LONG, backtest, prove

class Breakout:
    features = ("donchian_48", "atr_14")

    def decide(self, view):
        if view.position == 0 and view.close > view["donchian_48_upper"] - 0.5 * view["atr_14"]:
            return Decision(LONG, stop_distance=3 * view["atr_14"], score_technical=1.0)
        if view.position > 0 and view.close < view["donchian_48_middle"]:
            return Decision(FLAT)
        return None
"""


def test_a_notebook_from_a_class_in_a_cell_to_the_report_in_the_cell(kernel: BlockingKernelClient) -> None:
    run(kernel, STRATEGY)
    shown = run(
        kernel,
        'result = backtest("BTCUSDT", start="2023-01-01", timeframe="4h", strategy=Breakout, use_ml=False)\nresult',
    )

    *bars, result = shown
    assert any("<progress" in one["text/html"] for one in bars)
    assert bars[-1]["text/html"] == ""  # nothing of the progress is left in the cell
    assert len(result["text/plain"]) < LONGEST_TEXT
    assert "Breakout on BTCUSDT 4h" in result["text/plain"]
    assert "total return" in result["text/html"]

    (page,) = run(kernel, "result.plot()")
    assert page["text/html"].startswith('<iframe srcdoc="&lt;!doctype html&gt;')

    for table in ("trades", "equity", "monthly", "sensitivity", "fill_table", "decision_table"):
        (found,) = run(kernel, f"result.{table}.head()")
        assert "<table" in found["text/html"], table

    proof = run(kernel, "prove(Breakout, candles=600, cuts=3).leak is None")
    assert proof[-1]["text/plain"] == "True"


def test_a_table_and_an_instance_run_in_a_cell(kernel: BlockingKernelClient) -> None:
    run(kernel, STRATEGY)
    run(kernel, "from papertape import Tape\nfrom papertape.replay.importers.sample import sample_tape")

    shown = run(
        kernel,
        'frame = sample_tape().table()["2023-06":"2023-08"]\n'
        'backtest(frame, symbol="MINE", strategy=Breakout(), use_ml=False, progress=False)',
    )

    (result,) = shown  # no bar was asked for
    assert "Breakout on MINE 1h" in result["text/plain"]


def test_a_wrong_argument_is_one_sentence(kernel: BlockingKernelClient) -> None:
    run(kernel, "from papertape import backtest")
    (told,) = run(
        kernel,
        'try:\n    backtest(start_date="2023-01-01")\nexcept Exception as error:\n    display(str(error))',
    )

    assert "write start='2023-01-01'" in told["text/plain"]


def test_short_texts_of_what_a_cell_may_end_with(kernel: BlockingKernelClient, tmp_path: Path) -> None:
    run(kernel, "import papertape\nfrom papertape.replay.importers.sample import sample_tape")
    for cell in ("papertape.Store()", "papertape.ModelStore()", "sample_tape()", "papertape"):
        (found,) = run(kernel, cell)
        assert len(found["text/plain"]) < LONGEST_TEXT, cell


def test_a_model_is_trained_in_a_cell(kernel: BlockingKernelClient) -> None:
    """The cell runs in an event loop, and training waits for a process of its own."""
    run(kernel, "from papertape import train")
    *bars, found = run(kernel, 'train(symbol="BTCUSDT", model="logistic", days_back=60, use_smc=False)')

    assert bars
    assert "Training logistic version 1" in found["text/plain"]
    assert "test accuracy" in found["text/plain"]
    assert "majority" in found["text/html"]
