"""Which columns of the feature matrix a strategy may read, and where they are."""

from papertape.engine.features import columns_of
from papertape.engine.features.matrix import MODEL_PROBABILITY
from papertape.engine.features.own.names import request_texts
from papertape.engine.state import EngineState
from papertape.engine.strategies.protocol import KernelStrategy, Strategy


def readable(engine: EngineState, *strategies: KernelStrategy | Strategy) -> dict[str, int]:
    """Return the rows of the features that strategies named, of those that the configuration adds, and of the model."""
    requests = [request for one in strategies for request in request_texts(one.features)]
    named = [column for request in requests for column in columns_of(request)]
    added = [c for request in engine.spec.extra_features for c in columns_of(request)]
    rows = {name: row for row, name in enumerate(engine.frames.columns)}
    return {name: rows[name] for name in (*named, *added, MODEL_PROBABILITY)}
