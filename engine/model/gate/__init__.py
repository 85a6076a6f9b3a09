"""engine/model/gate."""
