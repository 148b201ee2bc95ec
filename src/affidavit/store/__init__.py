"""Floor 1: the catalog, bodies and events as rows; the only place that knows SQL."""
