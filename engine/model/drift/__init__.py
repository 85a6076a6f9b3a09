"""engine/model/drift."""
