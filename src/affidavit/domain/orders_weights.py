"""Weights."""
BIAS = 0.0
THRESHOLD = 0.5
WEIGHTS: dict[str, float] = {}
