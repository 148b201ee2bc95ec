"""Floor 1: the contracts that back-ends meet. Each port has at most four methods."""
