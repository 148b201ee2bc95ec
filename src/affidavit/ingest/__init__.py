"""Floor 4: a document in."""
