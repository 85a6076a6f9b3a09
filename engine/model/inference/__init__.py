"""engine/model/inference."""
