"""Floor 0, beside the domain: what is handed to people who do not have affidavit. Standard library only."""
