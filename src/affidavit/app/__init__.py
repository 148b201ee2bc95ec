"""Floor 6: configuration, wiring and operations."""
