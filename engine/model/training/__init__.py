"""engine/model/training."""
