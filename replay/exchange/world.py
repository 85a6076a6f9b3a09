"""The exchange without anybody who listens: its markets, its clock, what happens next, and which faults hold."""

from collections.abc import Callable, Mapping, Sequence

from papertape.engine.candles import WEEK_ANCHOR_MS
from papertape.engine.errors import DataError
from papertape.replay.exchange.active_faults import ActiveFaults
from papertape.replay.exchange.market import TapeMarket
from papertape.replay.exchange.products import list_tapes
from papertape.replay.exchange.quirks import Switches
from papertape.replay.exchange.schedule import Schedule
from papertape.replay.tapes.tape import Tape


class World:
    """
    What connections and requests are answered from.

    read_clock  the time in ms of whoever owns the exchange
    """

    def __init__(
        self,
        tapes: Sequence[Tape],
        switches: Switches,
        faults: ActiveFaults,
        read_clock: Callable[[], int],
        *,
        seed: int = 1,
        funding_hours: Mapping[str, int] | None = None,
        contract_values: Mapping[str, float] | None = None,
    ) -> None:
        if not tapes:
            raise DataError("a venue needs at least one tape")
        self.switches = switches
        self.faults = faults
        self.seed = seed
        self._read_clock = read_clock
        self._reached_ms = 0
        anchor_ms = WEEK_ANCHOR_MS if switches.week_start == "monday" else 0
        listings = list_tapes(tapes, funding_hours, contract_values)
        self.markets = {
            tape.symbol: TapeMarket(tape, listings[tape.symbol], seed, anchor_ms) for tape in tapes
        }
        self._indices = {market.listing.index_symbol: market for market in self.markets.values()}
        self.schedule = Schedule()

    @property
    def now_ms(self) -> int:
        """Return venue time: it never goes back, nor behind what has happened already."""
        self._reached_ms = max(self._reached_ms, self._read_clock())
        return self._reached_ms

    def happen(self, due_ms: int) -> None:
        """Let everything happen that is due by then, or by now."""
        self._reached_ms = max(self._reached_ms, due_ms)
        self.schedule.run_until(self.now_ms)

    @property
    def end_ms(self) -> int:
        """Return when the last tape is over."""
        return max(market.end_ms for market in self.markets.values())

    def market_of(self, channel: str, symbol: str) -> TapeMarket | None:
        """Return whose data a channel carries under a symbol; None for what is not listed."""
        if channel in ("mark_price",) or symbol.startswith("MARK:"):
            is_mark = symbol.startswith("MARK:") and (
                channel == "mark_price" or channel.startswith("candlestick_")
            )
            return self.markets.get(symbol.removeprefix("MARK:")) if is_mark else None
        if channel == "spot_price":
            return self._indices.get(symbol)
        return self.markets.get(symbol)

    def series(self, symbol: str) -> tuple[str, TapeMarket] | None:
        """Return the kind and market of a series of the history: trade, MARK, FUNDING, OI or index."""
        prefix, colon, name = symbol.partition(":")
        if colon:
            market = self.markets.get(name)
            return (prefix, market) if market and prefix in ("MARK", "FUNDING", "OI") else None
        if symbol in self._indices:
            return "index", self._indices[symbol]
        return ("trade", self.markets[symbol]) if symbol in self.markets else None
