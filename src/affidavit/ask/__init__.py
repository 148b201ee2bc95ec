"""Floor 4: a question in, a permissioned and cited answer out."""
