"""Floor 1: who may do what, decided by pure functions."""
