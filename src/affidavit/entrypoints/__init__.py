"""Floor 7: translate requests into operations."""
