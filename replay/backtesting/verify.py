"""Run a saved result again from its tapes and compare: the digest, then record by record and field by field."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from papertape.engine.broker.ledger import money, unit_decimals, units_per_quote
from papertape.engine.broker.working.orders import ORDER_EVENT
from papertape.engine.errors import DataError
from papertape.engine.jit import Rows
from papertape.engine.performance.standing import Standing
from papertape.engine.performance.statement import Booked, booked_as
from papertape.engine.records import CHANGE, DECISION, FILL, LIMIT_EVENT, PAYMENT
from papertape.engine.spec import Market, market_rows
from papertape.replay.backtesting.doubts import with_standing
from papertape.replay.backtesting.prepare import Progress
from papertape.replay.backtesting.result import TAPES, Result, model_path, read_records
from papertape.replay.backtesting.run import load_tapes, run_backtest
from papertape.replay.backtesting.summary import FORMAT
from papertape.replay.config import make_config
from papertape.replay.config.learning import as_recorded
from papertape.replay.config.user_code import refuse_code
from papertape.replay.learning.attempt import Learned
from papertape.replay.tapes.store import Tape, read_tape
from papertape.replay.tapes.tables import at_minute

_NOT_COMPARED = frozenset({"timings", "papertape"})
# Results that were saved before do not have these sections, nor trades these columns.
_ADDED = frozenset({"portfolio", "parameters"})
_ADDED_COLUMNS = frozenset({"last_stop_price", "entry_tag", "exit_tag"})


class Verification(NamedTuple):
    """What a verification found; `differences` is empty when everything is equal."""

    digest_saved: str
    digest_now: str
    compared: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def is_equal(self) -> bool:
        """Return whether the run did again what the result says."""
        return not self.differences


def read_summary(directory: Path) -> dict[str, Any]:
    """Return the content of a result's result.json, or raise DataError."""
    path = directory / "result.json"
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{directory}: not a result folder: {error.strerror}: result.json") from error
    except ValueError as error:
        raise DataError(f"{path}: damaged: {error}") from error
    if not isinstance(summary, dict):
        raise DataError(f"{path}: damaged: it has no format number")
    number = summary.get("format")
    if type(number) is not int or number < 1:
        raise DataError(f"{path}: damaged: it has no format number")
    if number > FORMAT:
        raise DataError(f"{path}: format {number} is newer than {FORMAT}; update papertape")
    return summary


def result_statement(directory: Path) -> Booked:
    """
    Return the statement of a saved result, compared with its equity curve.

    Raises InvariantError where it does not balance, DataError for what is no result.
    """
    summary = read_summary(directory)
    try:
        account = summary["config"]["account"]
        decimals = unit_decimals(account["capital"], account["quote"], account.get("money_decimals"))
        markets = [Market(**values) for _, values in sorted(summary["markets"].items())]
    except (KeyError, TypeError) as error:
        raise DataError(f"{directory}: result.json lacks what a statement needs: {error}") from error
    paths = (directory / "payments.parquet", PAYMENT), (directory / "changes.parquet", CHANGE)
    payments, changes = (
        read_records(path, dtype) if path.is_file() else np.zeros(0, dtype) for path, dtype in paths
    )
    units = units_per_quote(decimals)
    curve = _cash_of(directory / "equity.parquet")
    booked = booked_as(
        read_records(directory / "fills.parquet", FILL),
        payments,
        market_rows(markets, is_cross=account.get("margin") == "cross", decimals=decimals),
        [market.symbol for market in markets],
        money(account["capital"], units),
        changes,
        _ms(curve["time"].iloc[0]) if len(curve) else 0,
    )
    if curve.empty:
        return booked
    last = curve.iloc[-1]
    return booked.beside(
        money(float(last["cash"]), units), f"equity.parquet at {at_minute(_ms(last['time']))}"
    )


def _cash_of(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=["time", "cash"])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise DataError(f"{path}: damaged: {error}") from error


def _ms(time: pd.Timestamp) -> int:
    return int(time.timestamp() * 1000)


def verify(
    directory: Path,
    tapes: Sequence[Tape] = (),
    on_progress: Progress | None = None,
    *,
    trust_code: bool = False,
) -> Verification:
    """
    Return what differs between a saved result and the same run done now.

    tapes       in place of those that the result keeps or names
    trust_code  run a strategy that is not built in, whatever module the result names

    Raises ConfigError when the result names code that is not trusted,
    DataError when the tapes are not the ones the result was made from.
    """
    saved = read_summary(directory)
    try:
        config = make_config(as_recorded(saved["config"]), str(directory / "result.json"))
        hashes = {tape["symbol"]: tape["sha256"] for tape in saved["tapes"]}
    except (KeyError, TypeError) as error:
        raise DataError(f"{directory / 'result.json'}: damaged: no {error}") from error
    refuse_code(config, directory, trust_code)
    found = list(tapes) or _kept(directory) or load_tapes(config)
    for tape in found:
        if hashes.get(tape.symbol) != tape.sha256:
            raise DataError(
                f"{tape.symbol}: the tape's hash {tape.sha256[:12]} is not the result's "
                f"{str(hashes.get(tape.symbol))[:12]}; the candles have changed since"
            )
    # Models are those of the result: what is verified is what they led to, not their training.
    try:
        learned = Learned.from_json(saved.get("model", {}))
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{directory / 'result.json'}: damaged: model: {error}") from error
    result = run_backtest(config, found, on_progress, _models(directory, saved), learned)
    _stand_as(saved, result, directory / "result.json")
    paid = directory / "payments.parquet"  # results that were saved before do not have it
    differences = [
        *_records_differ(directory / "decisions.parquet", DECISION, result.decisions),
        *_records_differ(directory / "fills.parquet", FILL, result.fills),
        *_some_differ(directory / "orders.parquet", ORDER_EVENT, result.orders),
        *_some_differ(directory / "limits.parquet", LIMIT_EVENT, result.limits),
        *_some_differ(directory / "changes.parquet", CHANGE, result.changes),
        *(_records_differ(paid, PAYMENT, result.payments) if paid.is_file() else ()),
        *_tables_differ(directory, result),
        # Its configuration and markets with the keys that came since: what they default to is what was done.
        *_values_differ(
            "result.json",
            _json(result.summary),
            {**saved, "config": config.recorded(), "markets": _markets_of(saved, directory)},
        ),
    ]
    compared = ("decisions", "fills", "trades", "equity", "result.json")
    return Verification(str(saved.get("digest")), result.digest, compared, tuple(differences))


def _markets_of(saved: Mapping[str, Any], directory: Path) -> Any:
    try:
        return _json({name: Market(**values).plain() for name, values in saved["markets"].items()})
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{directory / 'result.json'}: damaged: markets: {error}") from error


def _stand_as(saved: Mapping[str, Any], result: Result, path: Path) -> None:
    """Let a new result stand among the trials that a saved one was counted with, so that its figures follow from them."""
    if "trials" not in saved:  # made before there was a ledger
        return
    try:
        if "holdout" in saved:
            result.summary["holdout"] = saved["holdout"]
        with_standing(result.summary, Standing.of_json(saved["trials"]))
    except (TypeError, KeyError, ValueError) as error:
        raise DataError(f"{path}: damaged: trials: {error}") from error


def _some_differ(path: Path, dtype: np.dtype[Any], now: Rows) -> list[str]:
    """Return what differs of records of which there are not always any; a result without them has no file."""
    if not path.exists():
        return [f"{path.name}: missing, and there were {len(now)} records"] if len(now) else []
    return _records_differ(path, dtype, now)


def _kept(directory: Path) -> list[Tape]:
    """Return the candles that a result keeps because nobody else has them."""
    return [read_tape(path) for path in sorted((directory / TAPES).glob("*.parquet"))]


def _models(directory: Path, saved: Mapping[str, Any]) -> list[tuple[int, bytes]]:
    """Return the schedule of models that a saved result was made with."""
    models = []
    for number, entry in enumerate(saved.get("model", {}).get("lineage", [])):
        path = directory / model_path(number)
        try:
            models.append((int(entry["effective_ms"]), path.read_bytes()))
        except OSError as error:
            raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    learned = Learned.from_json(saved.get("model", {}))
    attempts = learned.attempts if learned is not None else []
    left = [(attempt.effective_ms, b"") for attempt in attempts if attempt.is_demoting]
    return sorted([*models, *left], key=lambda model: model[0])


def _json(values: Any) -> Any:
    """Return values as they come back from a JSON file."""
    return json.loads(json.dumps(values))


def _records_differ(path: Path, dtype: np.dtype[Any], now: Rows) -> list[str]:
    """Return the first difference between saved records and new ones, as a list of none or one."""
    try:
        saved = read_records(path, dtype)
    except DataError as error:
        return [str(error)]
    for row, (old, new) in enumerate(zip(saved, now, strict=False)):
        if old.tobytes() == new.tobytes():
            continue
        for name in dtype.names or ():
            if old[name].tobytes() != new[name].tobytes():
                return [f"{path.name} record {row} field {name}: saved {old[name]}, now {new[name]}"]
    if len(saved) != len(now):
        return [f"{path.name}: saved {len(saved)} records, now {len(now)}"]
    return []


def _tables_differ(directory: Path, result: Result) -> list[str]:
    """Return the first difference of each table."""
    found = []
    for name, now in (("trades", result.trades), ("equity", result.equity)):
        path = directory / f"{name}.parquet"
        try:
            saved = pd.read_parquet(path)
        except (OSError, ValueError) as error:
            found.append(f"{path.name}: damaged: {str(error).splitlines()[0]}")
            continue
        since = [name for name in now.columns if name in _ADDED_COLUMNS and name not in saved]
        found += _frames_differ(path.name, saved, now.drop(columns=since))
    return found


def _frames_differ(name: str, saved: pd.DataFrame, now: pd.DataFrame) -> list[str]:
    if list(saved.columns) != list(now.columns) or len(saved) != len(now):
        return [f"{name}: saved {saved.shape} rows and columns, now {now.shape}"]
    firsts = []
    for column in now.columns:
        a, b = saved[column], now[column]
        differs = ~((a == b) | (a.isna() & b.isna())).to_numpy()
        if differs.any():
            row = int(np.argmax(differs))
            firsts.append((row, f"{name} record {row} field {column}: saved {a[row]}, now {b[row]}"))
    return [min(firsts)[1]] if firsts else []


def _values_differ(path: str, now: Any, saved: Any) -> list[str]:
    """Return the first value that differs, with its path; timings are not compared."""
    if isinstance(now, Mapping) and isinstance(saved, Mapping):
        keys = [*now, *(key for key in saved if key not in now)]
        for key in sorted(
            keys, key=lambda key: key == "conventions"
        ):  # figures first, then a version's words
            if key in _NOT_COMPARED or (key in _ADDED and key not in saved):
                continue
            found = _values_differ(
                f"{path}: {key}" if path == "result.json" else f"{path}.{key}", now.get(key), saved.get(key)
            )
            if found:
                return found
        return []
    if isinstance(now, list) and isinstance(saved, list) and len(now) == len(saved):
        for index, (a, b) in enumerate(zip(now, saved, strict=True)):
            found = _values_differ(f"{path}[{index}]", a, b)
            if found:
                return found
        return []
    return [] if now == saved else [f"{path}: saved {saved!r}, now {now!r}"]
