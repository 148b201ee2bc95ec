"""Floor 2: the append-only log: append, chain, checkpoint, verify."""
