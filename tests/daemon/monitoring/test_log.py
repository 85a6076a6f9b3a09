"""Logs: one line per event, UTC, both doors alike, no secret whatever way it tries, and warnings counted."""

import io
import json
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from datetime import datetime

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from papertape.daemon.monitoring.log import BLANK, Redaction, set_up_logging

SECRET = "correct-horse-battery-staple"  # noqa: S105 # of this test


@pytest.fixture(autouse=True)
def _own_logging() -> Iterator[None]:
    """Give the process its logging back."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def stream() -> io.StringIO:
    return io.StringIO()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_an_event_is_one_json_line_in_utc(stream: io.StringIO) -> None:
    set_up_logging("json", stream=stream)

    structlog.get_logger("papertape.daemon.app").info("fill", symbol="BTCUSD", price=40_000.5, bars=3)

    (event,) = lines(stream)
    when = datetime.fromisoformat(str(event.pop("time")))
    assert when.utcoffset() is not None
    assert when.utcoffset().total_seconds() == 0.0  # type: ignore[union-attr]
    assert event == {"event": "fill", "level": "info", "symbol": "BTCUSD", "price": 40_000.5, "bars": 3}


def test_the_standard_library_comes_through_the_same_door(stream: io.StringIO) -> None:
    set_up_logging("json", stream=stream)

    logging.getLogger("apscheduler").warning("Run of job %r was missed", "audit")

    (event,) = lines(stream)
    assert event["event"] == "Run of job 'audit' was missed"
    assert (event["level"], event["logger"]) == ("warning", "apscheduler")


def test_python_warnings_are_logged(stream: io.StringIO) -> None:
    set_up_logging("json", stream=stream)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old habit", DeprecationWarning, stacklevel=1)

    (event,) = lines(stream)
    assert event["logger"] == "py.warnings"
    assert "old habit" in str(event["event"])


def test_console_lines_are_plain_where_there_is_no_terminal(stream: io.StringIO) -> None:
    set_up_logging("console", stream=stream)

    structlog.get_logger().info("snapshot", sequence=7)

    assert "snapshot" in stream.getvalue()
    assert "sequence=7" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("style", ["json", "console"])
def test_no_secret_gets_out(style: str, stream: io.StringIO) -> None:
    set_up_logging(style, secrets=[SECRET], stream=stream)  # type: ignore[arg-type]
    log = structlog.get_logger()

    class Holder:
        def __repr__(self) -> str:
            return f"Holder({SECRET})"

    log.info("start", url=f"wss://x/?key={SECRET}", nested={"a": [SECRET, (SECRET,)]})
    log.info(f"told {SECRET}", thing=Holder(), **{SECRET: 1})
    log.info("headers", Authorization="Bearer of another", api_key="abc", Cookie="x=y")
    logging.getLogger("aiohttp").error("sent %s", SECRET)
    try:
        raise ValueError(SECRET)
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiohttp").exception("failed too")
    structlog.contextvars.bind_contextvars(bound=SECRET)
    log.info("context")
    structlog.contextvars.clear_contextvars()

    text = stream.getvalue()
    assert SECRET not in text
    assert "another" not in text
    assert "abc" not in text
    assert text.count(BLANK) >= 10
    assert "ValueError" in text  # the traceback itself is kept


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.just(SECRET),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just(SECRET), inner),
    )
)
def test_no_shape_of_value_hides_a_secret(value: object) -> None:
    event = Redaction([SECRET])(None, "info", {"event": "x", "value": value})

    assert SECRET not in json.dumps(event, default=str)


def test_what_is_not_secret_is_left_as_it_is() -> None:
    values = {"event": "fill", "price": 1.5, "n": 3, "is_open": True, "none": None, "names": ["a"]}

    assert Redaction([SECRET, "a"])(None, "info", dict(values)) == values


def test_warnings_and_above_are_counted_from_both_doors(stream: io.StringIO) -> None:
    counted: Counter[str] = Counter()
    set_up_logging("json", stream=stream, on_message=lambda level: counted.update([level]))
    log, other = structlog.get_logger(), logging.getLogger("aiohttp")

    log.info("calm")
    log.warning("late")
    log.error("broken")
    other.warning("late")
    other.critical("gone")
    other.debug("never")

    assert counted == {"warning": 2, "error": 1, "critical": 1}
    assert len(lines(stream)) == 5  # debug is below the level


def test_setting_up_twice_writes_each_line_once(stream: io.StringIO) -> None:
    set_up_logging("json", stream=io.StringIO())
    set_up_logging("json", stream=stream)

    structlog.get_logger().info("once")

    assert len(lines(stream)) == 1
