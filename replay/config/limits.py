"""The section [limits] of the configuration: what the account may lose and hold."""

from pydantic import BaseModel, ConfigDict

from papertape.engine.broker.risk.limits import Limits
from papertape.replay.config.fields import keys_of, shared


@keys_of(Limits)
class LimitSettings(BaseModel):
    """What may be lost and held; 0: no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    def limits(self) -> Limits:
        """Return the limits as the engine takes them."""
        return Limits(**shared(self, Limits))
