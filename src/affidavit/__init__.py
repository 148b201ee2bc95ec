"""affidavit: answers over an organisation's documents, with proof of what was read, under whose permission, and why."""
