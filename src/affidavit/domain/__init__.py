"""Floor 0: records, ids, canonical bytes, digests, filters and errors. Standard library only."""
