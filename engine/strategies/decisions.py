"""How kernels write a decision: every field, every time, so that equal wishes are equal bytes."""

from papertape.engine.jit import Row, kernel


@kernel
def want(
    decision: Row,
    target: int,
    stop_distance: float,
    target_distance: float,
    confidence: float,
    score_technical: float,
    score_smc: float = 0.0,
    score_model: float = 0.0,
    size_scale: float = 1.0,
) -> None:
    """Write a decision with a bracket given by distances from the fill price."""
    decision.target = target
    decision.stop_distance = stop_distance
    decision.target_distance = target_distance
    decision.stop_price = 0.0
    decision.target_price = 0.0
    decision.confidence = confidence
    decision.size_scale = size_scale
    decision.score_model = score_model
    decision.score_smc = score_smc
    decision.score_technical = score_technical
