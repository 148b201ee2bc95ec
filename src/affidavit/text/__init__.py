"""Floor 1: one analyser for the index and the answerer, and a sentence splitter."""
